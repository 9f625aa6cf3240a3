#!/usr/bin/env python3
"""Trains the demo model: a small mixture of experts with the graph of MiniMax-M2. PyTorch, one CPU thread is enough.

  train.py --data DIR --out DIR [--steps 2200] [--seed 1]
DIR holds train.txt, heldout.txt (make_corpus.py) and tokenizer.json (train_tokenizer.py).
Writes OUT/model.npz (float32 tensors under their GGUF names), OUT/model.json (shape and history), at intervals and at the end.
"""
import argparse
import json
import math
import os
import random
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from train_tokenizer import SEPARATOR, Tokenizer

SHAPE = dict(layers=4, hidden=256, heads=4, kv_heads=2, head_dim=64, rot=32, experts=8, used=2, ffn=256, context=1024,
             rope_base=10000.0, eps=1e-6)


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        d, q, kv, e, f = s["hidden"], s["heads"] * s["head_dim"], s["kv_heads"] * s["head_dim"], s["experts"], s["ffn"]
        w = lambda *shape: nn.Parameter(torch.randn(*shape) * shape[-1] ** -0.5)
        out = (2 * s["layers"]) ** -0.5
        self.s = s
        self.attn_norm, self.ffn_norm = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.q_norm, self.k_norm = nn.Parameter(torch.ones(q)), nn.Parameter(torch.ones(kv))
        self.qkv, self.o = w(q + 2 * kv, d), nn.Parameter(w(d, q).data * out)
        self.router = nn.Parameter(torch.randn(e, d) * 0.02)
        self.gate_up, self.down = w(e, 2 * f, d), nn.Parameter(w(e, d, f).data * out)
        self.register_buffer("bias", torch.zeros(e))      # chooses experts, is not in their weights; moved by balance()
        self.register_buffer("load", torch.zeros(e))

    def attention(self, x, cos, sin, mask):
        s, (b, t, _) = self.s, x.shape
        h, k_h, hd, r = s["heads"], s["kv_heads"], s["head_dim"], s["rot"]
        q, k, v = F.linear(x, self.qkv).split([h * hd, k_h * hd, k_h * hd], -1)
        q, k = norm(q, self.q_norm, s["eps"]), norm(k, self.k_norm, s["eps"])      # over all heads together

        def rotate(y, n):
            y = y.view(b, t, n, hd)
            a, c, rest = y[..., :r // 2], y[..., r // 2:r], y[..., r:]
            return torch.cat([a * cos - c * sin, c * cos + a * sin, rest], -1).transpose(1, 2)

        q, k = rotate(q, h), rotate(k, k_h)
        v = v.view(b, t, k_h, hd).transpose(1, 2)
        q = q.reshape(b, k_h, h // k_h * t, hd)             # query heads that share a key head side by side
        p = torch.matmul(q * hd ** -0.5, k.transpose(-1, -2)).view(b, k_h, h // k_h, t, t) + mask
        p = torch.softmax(p, -1).view(b, k_h, h // k_h * t, t)
        y = torch.matmul(p, v).view(b, h, t, hd).transpose(1, 2).reshape(b, t, h * hd)
        return F.linear(y, self.o)

    def experts(self, x):
        s, shape = self.s, x.shape
        x = x.reshape(-1, shape[-1])
        score = torch.sigmoid(F.linear(x, self.router))
        pick = torch.topk(score.detach() + self.bias, s["used"], -1).indices
        w = score.gather(-1, pick)
        w = (w / w.sum(-1, keepdim=True)).reshape(-1)
        flat = pick.reshape(-1)
        order = torch.argsort(flat)                         # tokens grouped by expert
        count = torch.bincount(flat, minlength=s["experts"])
        if self.training:
            self.load += count
        rows = torch.div(order, s["used"], rounding_mode="floor")
        out, start = [], 0
        xs = x.index_select(0, rows)
        for e, n in enumerate(count.tolist()):
            g, u = F.linear(xs[start:start + n], self.gate_up[e]).chunk(2, -1)
            out.append(F.linear(F.silu(g) * u, self.down[e]))
            start += n
        y = torch.cat(out) * w.index_select(0, order)[:, None]
        return torch.zeros_like(x).index_add(0, rows, y).view(shape)

    def forward(self, x, cos, sin, mask):
        x = x + self.attention(norm(x, self.attn_norm, self.s["eps"]), cos, sin, mask)
        return x + self.experts(norm(x, self.ffn_norm, self.s["eps"]))

    def balance(self, rate):
        self.bias += rate * torch.sign(self.load.mean() - self.load)
        share = self.load / self.load.sum()
        self.load.zero_()
        return share


class Model(nn.Module):
    def __init__(self, s, vocab):
        super().__init__()
        self.s, self.vocab = s, vocab
        self.embd = nn.Parameter(torch.randn(vocab, s["hidden"]) * 0.5)
        self.head = nn.Parameter(torch.randn(vocab, s["hidden"]) * 0.02)
        self.norm = nn.Parameter(torch.ones(s["hidden"]))
        self.layers = nn.ModuleList(Layer(s) for _ in range(s["layers"]))
        freq = s["rope_base"] ** (-torch.arange(0, s["rot"], 2).float() / s["rot"])
        angle = torch.arange(s["context"]).float()[:, None, None] * freq
        self.cos, self.sin = angle.cos(), angle.sin()
        self.mask = torch.full((s["context"], s["context"]), float("-inf")).triu(1)

    def forward(self, ids):
        t = ids.shape[1]
        x = self.embd[ids]
        for layer in self.layers:
            x = layer(x, self.cos[:t], self.sin[:t], self.mask[:t, :t])
        return F.linear(norm(x, self.norm, self.s["eps"]), self.head)

    def tensors(self):
        """float32 arrays under their GGUF names, rows first."""
        s, out = self.s, {"token_embd.weight": self.embd, "output_norm.weight": self.norm, "output.weight": self.head}
        q, kv = s["heads"] * s["head_dim"], s["kv_heads"] * s["head_dim"]
        for i, l in enumerate(self.layers):
            wq, wk, wv = l.qkv.split([q, kv, kv])
            gate, up = l.gate_up.chunk(2, 1)
            for name, t in dict(attn_norm=l.attn_norm, attn_q=wq, attn_k=wk, attn_v=wv, attn_output=l.o, attn_q_norm=l.q_norm,
                                attn_k_norm=l.k_norm, ffn_norm=l.ffn_norm, ffn_gate_inp=l.router, ffn_gate_exps=gate,
                                ffn_up_exps=up, ffn_down_exps=l.down).items():
                out["blk.%d.%s.weight" % (i, name)] = t
            out["blk.%d.exp_probs_b.bias" % i] = l.bias
        return {k: v.detach().float().contiguous().numpy() for k, v in out.items()}


def load(path, tok):
    bos = tok.ids["<|endoftext|>"]
    ids, starts = [], []
    for d in open(path, encoding="ascii", newline="").read().split(SEPARATOR):
        ids.append(bos)
        starts.append(len(ids))
        ids += tok.encode(d)
    return torch.tensor(ids + [bos]), starts


def heldout_loss(model, ids, t=256, limit=None):
    """Mean loss per token over windows of t tokens, all positions counted."""
    model.eval()
    total, n = 0.0, 0
    with torch.no_grad():
        stop = len(ids) - 1 if limit is None else min(limit, len(ids) - 1)
        for a in range(0, stop - t + 1, 8 * t):
            b = min(8, (stop - a) // t)
            x, y = ids[a:a + b * t].view(b, t), ids[a + 1:a + 1 + b * t]
            total += F.cross_entropy(model(x).view(-1, model.vocab), y, reduction="sum").item()
            n += b * t
    model.train()
    return total / n


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=2200)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--lr", type=float, default=4e-3)
    ap.add_argument("--batch", type=int, default=8)
    ap.add_argument("--length", type=int, default=256)
    ap.add_argument("--save-every", type=int, default=100)
    ap.add_argument("--stop-after", type=int, default=0, help="stop early (for a throughput trial)")
    a = ap.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(a.seed)
    rng = random.Random(a.seed)
    os.makedirs(a.out, exist_ok=True)
    tok = Tokenizer.load(os.path.join(a.data, "tokenizer.json"))
    train, starts = load(os.path.join(a.data, "train.txt"), tok)
    held, _ = load(os.path.join(a.data, "heldout.txt"), tok)
    model = Model(SHAPE, len(tok.tokens))
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([dict(params=matrices, weight_decay=0.05), dict(params=vectors, weight_decay=0.0)],
                            lr=a.lr, betas=(0.9, 0.95), eps=1e-8, foreach=True)
    print("train tokens", len(train), "held-out tokens", len(held), "weights", sum(p.numel() for p in model.parameters()), flush=True)
    history, seen, t0, running = [], 0, time.time(), None

    def save(step):
        np.savez(os.path.join(a.out, "part.npz"), **model.tensors())
        os.replace(os.path.join(a.out, "part.npz"), os.path.join(a.out, "model.npz"))
        json.dump(dict(shape=SHAPE, step=step, steps=a.steps, tokens_seen=seen, seed=a.seed, lr=a.lr, train_tokens=len(train),
                       history=history), open(os.path.join(a.out, "model.json"), "w"), indent=1)

    for step in range(1, a.steps + 1):
        f = step / a.steps
        lr = a.lr * min(1.0, step / 80) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * f)))
        for g in opt.param_groups:
            g["lr"] = lr
        b, t = (2, 4 * a.length) if step % 6 == 0 else (a.batch, a.length)     # every sixth step: long windows, fewer of them
        at = [min(rng.choice(starts), len(train) - t - 1) if rng.random() < 0.5 else rng.randrange(len(train) - t - 1) for _ in range(b)]
        x = torch.stack([train[i:i + t] for i in at])
        y = torch.stack([train[i + 1:i + t + 1] for i in at])
        loss = F.cross_entropy(model(x).view(-1, model.vocab), y.view(-1))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        with torch.no_grad():
            share = [l.balance(0.003 * (1 - f)) for l in model.layers]
        seen += b * t
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        if step % 10 == 0 or step == 1:
            print("step %d loss %.4f lr %.5f  %.0f tokens/s  load %.2f..%.2f" % (
                step, running, lr, seen / (time.time() - t0), min(s.min() for s in share), max(s.max() for s in share)), flush=True)
        if step % a.save_every == 0 or step == a.steps:
            h = heldout_loss(model, held, limit=None if step == a.steps else 8192)
            history.append(dict(step=step, train=round(running, 4), heldout=round(h, 4), seconds=round(time.time() - t0)))
            save(step)
            print("  held out %.4f" % h, flush=True)
        if step == a.stop_after:
            break


if __name__ == "__main__":
    main()
