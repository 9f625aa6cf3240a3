#!/usr/bin/env python3
"""Byte-level BPE: trainer, encoder and decoder. Standard library only.

Text is cut into words with the pattern of GPT-2 (restricted to ASCII classes, the corpus is ASCII); merges are
learned inside words, the most frequent pair first, ties broken by the smaller pair of ids, so the result is reproducible.

  train_tokenizer.py --text train.txt --out tokenizer.json [--vocab 2048]
"""
import argparse
import collections
import json
import re

SPECIALS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
SEPARATOR = "\x1e"
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
SPLIT = re.compile("(" + "|".join(re.escape(s) for s in SPECIALS) + ")")


def byte_alphabet():
    """GPT-2's map of the 256 bytes to printable characters."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    out, extra = {}, 0
    for b in range(256):
        if b in keep:
            out[b] = chr(b)
        else:
            out[b] = chr(256 + extra)
            extra += 1
    return out


BYTES = byte_alphabet()
UNBYTES = {c: b for b, c in BYTES.items()}


def train(text, vocab_size):
    counts = collections.Counter()
    for part in SPLIT.split(text.replace(SEPARATOR, "")):
        if part not in SPECIALS:
            counts.update(WORDS.findall(part))
    words = [list(w.encode()) for w in counts]
    freq = list(counts.values())
    tokens = [BYTES[b] for b in range(256)]
    merges = []
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, w in enumerate(words):
        for p in zip(w, w[1:]):
            pairs[p] += freq[i]
            where[p].add(i)
    while len(tokens) + len(SPECIALS) < vocab_size and pairs:
        best = max(pairs, key=lambda p: (pairs[p], -p[0], -p[1]))
        if pairs[best] < 2:
            break
        new = len(tokens)
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append((tokens[best[0]], tokens[best[1]]))
        for i in list(where[best]):
            w = words[i]
            for p in zip(w, w[1:]):
                pairs[p] -= freq[i]
                if pairs[p] <= 0:
                    del pairs[p]
                where[p].discard(i)
            out, k = [], 0
            while k < len(w):
                if k + 1 < len(w) and (w[k], w[k + 1]) == best:
                    out.append(new)
                    k += 2
                else:
                    out.append(w[k])
                    k += 1
            words[i] = out
            for p in zip(out, out[1:]):
                pairs[p] += freq[i]
                where[p].add(i)
    return tokens + SPECIALS, merges


class Tokenizer:
    def __init__(self, tokens, merges):
        self.tokens = tokens
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.rank = {tuple(m): i for i, m in enumerate(merges)}
        self.cache = {}

    @classmethod
    def load(cls, path):
        d = json.load(open(path))
        return cls(d["tokens"], [m.split(" ") for m in d["merges"]])

    def word(self, w):
        if w in self.cache:
            return self.cache[w]
        s = [BYTES[b] for b in w.encode()]
        while len(s) > 1:
            r, k = min((self.rank.get((s[i], s[i + 1]), 1 << 30), i) for i in range(len(s) - 1))
            if r == 1 << 30:
                break
            pair, out, i = (s[k], s[k + 1]), [], 0
            while i < len(s):
                if i + 1 < len(s) and (s[i], s[i + 1]) == pair:
                    out.append(s[i] + s[i + 1])
                    i += 2
                else:
                    out.append(s[i])
                    i += 1
            s = out
        self.cache[w] = [self.ids[t] for t in s]
        return self.cache[w]

    def encode(self, text):
        out = []
        for part in SPLIT.split(text):
            if part in SPECIALS:
                out.append(self.ids[part])
            else:
                for w in WORDS.findall(part):
                    out += self.word(w)
        return out

    def decode(self, ids):
        out = b""
        for i in ids:
            t = self.tokens[i]
            out += t.encode() if t in SPECIALS else bytes(UNBYTES[c] for c in t)
        return out.decode("utf-8", "replace")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--text", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--vocab", type=int, default=2048)
    a = ap.parse_args()
    text = open(a.text, encoding="ascii", newline="").read()
    tokens, merges = train(text, a.vocab)
    json.dump({"tokens": tokens, "merges": ["%s %s" % m for m in merges]}, open(a.out, "w"), indent=0)
    t = Tokenizer(tokens, merges)
    n, chars = 0, 0
    for d in text.split(SEPARATOR):
        ids = t.encode(d)
        assert t.decode(ids) == d
        n += len(ids)
        chars += len(d)
    print(len(tokens), "tokens,", len(merges), "merges;", n, "tokens in the text,", "%.2f characters per token" % (chars / n))


if __name__ == "__main__":
    main()
