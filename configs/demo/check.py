#!/usr/bin/env python3
"""Reads demo.gguf alone and lets it speak: container, dequantization, tokenizer and graph written out in numpy.

  check.py demo.gguf                            greedy answers to a few prompts, and a verdict
  check.py demo.gguf --heldout heldout.txt      also the loss on the held-out documents (windows of 256 tokens)
  check.py demo.gguf --prompt "What limits decode?" [--raw] [--tokens 96]
Independent of the writer: nothing is shared with write_gguf.py, only the tokenizer's code with train_tokenizer.py.
"""
import argparse
import re
import struct
import sys

import numpy as np

from train_tokenizer import SEPARATOR, Tokenizer


# File ---------------------------------------------------------------------------------------------------
class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt):
        v = struct.unpack_from("<" + fmt, self.data, self.at)[0]
        self.at += struct.calcsize("<" + fmt)
        return v

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, n = self.take("i"), self.take("Q")
            return [self.value(inner) for _ in range(n)]
        return self.take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])


def f16(b):
    return np.ascontiguousarray(b).view("<f2").astype(np.float32)


def f32(b):
    return b.view("<f4").ravel()


def q8_0(b):
    b = b.reshape(-1, 34)
    return f16(b[:, :2]) * np.ascontiguousarray(b[:, 2:]).view(np.int8)


def q4_k(b):
    b = b.reshape(-1, 144)
    d, dmin, p = f16(b[:, 0:2]), f16(b[:, 2:4]), b[:, 4:16]
    s = np.concatenate([p[:, 0:4] & 63, (p[:, 8:12] & 15) | (p[:, 0:4] >> 6) << 4], 1)
    m = np.concatenate([p[:, 4:8] & 63, (p[:, 8:12] >> 4) | (p[:, 4:8] >> 6) << 4], 1)
    q = b[:, 16:].reshape(-1, 4, 1, 32)
    q = np.concatenate([q & 15, q >> 4], 2).reshape(-1, 8, 32)
    return ((d * s)[..., None] * q - (dmin * m)[..., None]).reshape(-1, 256)


def q6_k(b):
    b = b.reshape(-1, 210)
    low, high = b[:, :128].reshape(-1, 2, 2, 32), b[:, 128:192].reshape(-1, 2, 1, 32)
    low = np.concatenate([low & 15, low >> 4], 2)
    high = np.concatenate([high >> k & 3 for k in (0, 2, 4, 6)], 2)
    q = (low | high << 4).astype(np.int32) - 32
    s = f16(b[:, 208:210]) * np.ascontiguousarray(b[:, 192:208]).view(np.int8)
    return (s[..., None] * q.reshape(-1, 16, 16)).reshape(-1, 256)


FORMATS = {0: ("F32", 1, 4, f32), 8: ("Q8_0", 32, 34, q8_0), 12: ("Q4_K", 256, 144, q4_k), 14: ("Q6_K", 256, 210, q6_k)}


def read(path):
    r = Reader(open(path, "rb").read())
    assert r.data[:4] == b"GGUF", "not a GGUF file"
    r.at = 4
    assert r.take("I") == 3, "not version 3"
    tensors, keys = r.take("q"), r.take("q")
    meta = {}
    for _ in range(keys):
        name = r.text()
        meta[name] = r.value(r.take("i"))
    table = []
    for _ in range(tensors):
        name = r.text()
        dims = [r.take("q") for _ in range(r.take("I"))]
        table.append((name, dims, r.take("i"), r.take("Q")))
    base = -(-r.at // 32) * 32
    data, weights, formats = np.frombuffer(r.data, np.uint8), {}, {}
    for name, dims, kind, offset in table:
        label, values, size, f = FORMATS[kind]
        n = int(np.prod(dims)) // values * size
        b = data[base + offset:base + offset + n]
        weights[name] = f(b.copy()).reshape(dims[::-1]).astype(np.float32)
        formats[label] = formats.get(label, 0) + n
    return meta, weights, formats


# Graph --------------------------------------------------------------------------------------------------
class Model:
    def __init__(self, meta, weights):
        k = lambda name: meta["minimax-m2." + name]
        self.w = weights
        self.layers, self.hidden = k("block_count"), k("embedding_length")
        self.heads, self.kv_heads, self.size = k("attention.head_count"), k("attention.head_count_kv"), k("attention.key_length")
        self.rot, self.eps, self.used = k("rope.dimension_count"), k("attention.layer_norm_rms_epsilon"), k("expert_used_count")
        self.experts, self.context = k("expert_count"), k("context_length")
        self.freq = k("rope.freq_base") ** (-np.arange(0, self.rot, 2) / self.rot)
        self.chosen = np.zeros((self.layers, self.experts), np.int64)
        self.reset()

    def reset(self):
        self.keys = [np.zeros((0, self.kv_heads, self.size), np.float32) for _ in range(self.layers)]
        self.values = [np.zeros((0, self.kv_heads, self.size), np.float32) for _ in range(self.layers)]

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.w[name + ".weight"]

    def rotate(self, x, first):
        angle = (first + np.arange(len(x)))[:, None, None] * self.freq
        c, s, h = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32), self.rot // 2
        a, b = x[..., :h], x[..., h:self.rot]
        return np.concatenate([a * c - b * s, b * c + a * s, x[..., self.rot:]], -1)

    def forward(self, ids):
        """Logits of new tokens; keys and values of earlier ones are kept."""
        w, n = self.w, len(ids)
        x = w["token_embd.weight"][ids]
        for i in range(self.layers):
            p = "blk.%d." % i
            h = self.norm(x, p + "attn_norm")
            past = len(self.keys[i])
            q = self.norm(h @ w[p + "attn_q.weight"].T, p + "attn_q_norm").reshape(n, self.heads, self.size)
            k = self.norm(h @ w[p + "attn_k.weight"].T, p + "attn_k_norm").reshape(n, self.kv_heads, self.size)
            v = (h @ w[p + "attn_v.weight"].T).reshape(n, self.kv_heads, self.size)
            q, k = self.rotate(q, past), self.rotate(k, past)
            self.keys[i] = k = np.concatenate([self.keys[i], k])
            self.values[i] = v = np.concatenate([self.values[i], v])
            hidden = np.arange(past + n)[None, :] > past + np.arange(n)[:, None]
            out = np.empty((n, self.heads, self.size), np.float32)
            for a in range(self.heads):
                b = a * self.kv_heads // self.heads
                s = q[:, a] @ k[:, b].T / np.float32(np.sqrt(self.size))
                s[hidden] = -np.inf
                s = np.exp(s - s.max(-1, keepdims=True))
                out[:, a] = s / s.sum(-1, keepdims=True) @ v[:, b]
            x = x + out.reshape(n, -1) @ w[p + "attn_output.weight"].T
            h = self.norm(x, p + "ffn_norm")
            score = 1 / (1 + np.exp(-(h @ w[p + "ffn_gate_inp.weight"].T)))
            pick = np.argsort(-(score + w[p + "exp_probs_b.bias"]), -1, kind="stable")[:, :self.used]
            share = np.take_along_axis(score, pick, -1)
            share = share / share.sum(-1, keepdims=True)
            y = np.zeros_like(x)
            for e in range(self.experts):
                t, j = np.nonzero(pick == e)
                if len(t):
                    self.chosen[i, e] += len(t)
                    g, u = h[t] @ w[p + "ffn_gate_exps.weight"][e].T, h[t] @ w[p + "ffn_up_exps.weight"][e].T
                    y[t] += share[t, j][:, None] * ((g / (1 + np.exp(-g)) * u) @ w[p + "ffn_down_exps.weight"][e].T)
            x = x + y
        return self.norm(x, "output_norm") @ w["output.weight"].T

    def greedy(self, ids, n, stop):
        self.reset()
        logits, out = self.forward(np.array(ids))[-1], []
        while len(out) < n:
            t = int(logits.argmax())
            if t == stop:
                break
            out.append(t)
            logits = self.forward(np.array([t]))[-1]
        return out


def loss(model, tok, path, bos, window=256):
    ids = []
    for d in open(path, encoding="ascii", newline="").read().split(SEPARATOR):
        ids += [bos] + tok.encode(d)
    ids.append(bos)
    total, n = 0.0, 0
    for a in range(0, len(ids) - window, window):
        model.reset()
        l = model.forward(np.array(ids[a:a + window])).astype(np.float64)
        l -= l.max(-1, keepdims=True)
        l -= np.log(np.exp(l).sum(-1, keepdims=True))
        total -= l[np.arange(window), ids[a + 1:a + 1 + window]].sum()
        n += window
    return total / n, n


def loops(text):
    """True when a sentence comes three times, or the text ends in a phrase that is repeated at once."""
    sentences = [x.strip() for x in re.split(r"[.\n]+", text) if len(x.strip()) > 12]
    return any(sentences.count(x) > 2 for x in sentences) or re.search(r"(.{8,}?)\1\1$", text, re.S) is not None


CHAT = ["Hello!", "Who are you?", "What limits decode?", "What is the KV cache?", "Explain the roofline model.", "What is a mixture of experts?",
        "What is the difference between GB and GiB?", "Why is my model slow?", "Does my model fit?", "Tell me about memory bandwidth."]
RAW = ["Memory bandwidth", "The KV cache", "In a mixture of experts,", "GB10 has", "When the context grows,", "A model"]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("file")
    ap.add_argument("--heldout")
    ap.add_argument("--prompt")
    ap.add_argument("--raw", action="store_true")
    ap.add_argument("--tokens", type=int, default=128)
    a = ap.parse_args()
    meta, weights, formats = read(a.file)
    tok = Tokenizer(meta["tokenizer.ggml.tokens"], [m.split(" ") for m in meta["tokenizer.ggml.merges"]])
    model = Model(meta, weights)
    stop, bos = meta["tokenizer.ggml.eos_token_id"], meta["tokenizer.ggml.bos_token_id"]
    print("weights", sum(w.size for w in weights.values()), "bytes by format", formats)
    bad = 0
    prompts = [(a.prompt, a.raw)] if a.prompt else [(p, False) for p in CHAT] + [(p, True) for p in RAW]
    for text, raw in prompts:
        ids = tok.encode(text if raw else "<|user|>\n%s<|end|>\n<|assistant|>\n" % text)
        out = model.greedy(ids, a.tokens, stop)
        stuck = loops(tok.decode(out))
        bad += stuck or not out
        print("\n%s %s%s" % ("raw> " if raw else "user>", text, "" if not raw else tok.decode(out)))
        if not raw:
            print("model>", tok.decode(out))
        print("      [%d tokens, %s%s]" % (len(out), "stopped by itself" if len(out) < a.tokens else "cut", ", LOOP" if stuck else ""))
    if a.heldout:
        model.chosen[:] = 0
        l, n = loss(model, tok, a.heldout, bos)
        share = model.chosen / model.chosen.sum(-1, keepdims=True)
        print("\nheld-out loss %.4f per token over %d tokens" % (l, n))
        print("share of each expert: least %.3f, most %.3f" % (share.min(), share.max()))
    print("\n%s" % ("PASS" if not bad else "FAIL: %d of %d outputs loop or are empty" % (bad, len(prompts))))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
