#!/usr/bin/env python3
"""Quantizes the trained demo model and writes it as GGUF version 3. numpy only.

  write_gguf.py --model DIR/model.npz --tokenizer DIR/tokenizer.json --out demo.gguf
model.json is expected beside model.npz.

Every format is searched, not just rounded: for each group of weights several scales (and minima) are tried, each is
refined by weighted least squares, and the one with the smallest weighted error of the values really stored is kept.
"""
import argparse
import json
import os
import struct

import numpy as np

F32, Q8_0, Q4_K, Q6_K = 0, 8, 12, 14
NAMES = {F32: "F32", Q8_0: "Q8_0", Q4_K: "Q4_K", Q6_K: "Q6_K"}
ALIGN = 32

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\\n' + message['content'] + '<|end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}")


# Quantizers: x is [blocks, values of a block], float32; the result is bytes ------------------------------
def importance(x):
    """Weights of the squared errors: large values matter more, none is worthless."""
    return np.sqrt((x * x).mean(-1, keepdims=True)) + np.abs(x) + 1e-12


def half(v):
    return v.astype(np.float16).astype(np.float32)


def inverse(v):
    return np.where(v != 0, 1.0 / np.where(v != 0, v, 1.0), 0.0).astype(np.float32)


def q8_0(x):
    w, top = importance(x), np.abs(x).max(-1, keepdims=True)
    best_err = np.full(top.shape, np.inf, np.float32)
    best_d, best_q = np.zeros_like(top), np.zeros(x.shape, np.int8)
    for steps in (125, 125.5, 126, 126.5, 127):
        q = np.clip(np.rint(x * (steps * inverse(top))), -127, 127)
        d = half((w * x * q).sum(-1, keepdims=True) * inverse((w * q * q).sum(-1, keepdims=True)))
        q = np.clip(np.rint(x * inverse(d)), -127, 127)
        err = (w * (x - d * q) ** 2).sum(-1, keepdims=True)
        better = err < best_err
        best_err = np.where(better, err, best_err)
        best_d, best_q = np.where(better, d, best_d), np.where(better, q, best_q).astype(np.int8)
    return np.concatenate([best_d.astype("<f2").view(np.uint8), best_q.view(np.uint8)], -1)


def scale_and_min(x, w, levels):
    """Groups [n, values] as scale * q - minimum with 0 <= q <= levels and minimum >= 0."""
    lo = np.minimum(x.min(-1, keepdims=True), 0)
    hi = x.max(-1, keepdims=True)
    sw, swx = w.sum(-1, keepdims=True), (w * x).sum(-1, keepdims=True)
    best_s, best_m = np.zeros_like(lo), np.maximum(-swx / sw, 0)      # all values alike, below zero
    best_err = (w * (x + best_m) ** 2).sum(-1, keepdims=True)
    for k in range(-10, 21):
        q = np.clip(np.rint((x - lo) * ((levels + 0.1 * k) * inverse(hi - lo))), 0, levels)
        sq, sqq, sxq = (w * q).sum(-1, keepdims=True), (w * q * q).sum(-1, keepdims=True), (w * x * q).sum(-1, keepdims=True)
        det = sw * sqq - sq * sq
        s = (sw * sxq - swx * sq) * inverse(det)
        m = (sq * sxq - sqq * swx) * inverse(det)
        free = (m >= 0) & (det > 1e-6 * sw * sqq)                # otherwise the best allowed minimum is zero
        s, m = np.where(free, s, sxq * inverse(sqq)), np.where(free, m, 0)
        s = np.maximum(s, 0)
        q = np.clip(np.rint((x + m) * inverse(s)), 0, levels)
        err = (w * (x - s * q + m) ** 2).sum(-1, keepdims=True)
        better = err < best_err
        best_err, best_s, best_m = np.where(better, err, best_err), np.where(better, s, best_s), np.where(better, m, best_m)
    return best_s[..., 0], best_m[..., 0]


def q4_k(x):
    n = len(x)
    g = x.reshape(n, 8, 32)
    w = importance(g)
    s, m = scale_and_min(g.reshape(-1, 32), w.reshape(-1, 32), 15)
    s, m = s.reshape(n, 8), m.reshape(n, 8)
    d, dmin = half(s.max(-1, keepdims=True) / 63), half(m.max(-1, keepdims=True) / 63)
    s0, m0 = np.clip(np.rint(s * inverse(d)), 0, 63), np.clip(np.rint(m * inverse(dmin)), 0, 63)
    best_err = np.full((n, 8), np.inf, np.float32)
    si, mi, q = np.zeros((n, 8)), np.zeros((n, 8)), np.zeros((n, 8, 32))
    for a in (-2, -1, 0, 1, 2):                                  # neighbours of the rounded scale and minimum
        for b in (-2, -1, 0, 1, 2):
            ss, mm = np.clip(s0 + a, 0, 63), np.clip(m0 + b, 0, 63)
            sv, mv = (d * ss)[..., None], (dmin * mm)[..., None]
            qq = np.clip(np.rint((g + mv) * inverse(sv)), 0, 15)
            err = (w * (g - sv * qq + mv) ** 2).sum(-1)
            better = err < best_err
            best_err, si, mi = np.where(better, err, best_err), np.where(better, ss, si), np.where(better, mm, mi)
            q = np.where(better[..., None], qq, q)
    # with the integers fixed, d and dmin are two unknowns of a linear least squares problem
    u, v = si[..., None] * q, np.broadcast_to(mi[..., None], q.shape)
    suu, svv, suv = (w * u * u).sum((1, 2)), (w * v * v).sum((1, 2)), (w * u * v).sum((1, 2))
    sxu, sxv = (w * g * u).sum((1, 2)), (w * g * v).sum((1, 2))
    det = suu * svv - suv * suv
    ok = det > 1e-6 * suu * svv
    d2 = np.where(ok, (sxu * svv - sxv * suv) * inverse(det), d[:, 0])
    m2 = np.where(ok, (sxu * suv - sxv * suu) * inverse(det), dmin[:, 0])
    d2, m2 = half(d2)[:, None, None], half(m2)[:, None, None]
    before = (w * (g - d[..., None] * u + dmin[..., None] * v) ** 2).sum((1, 2))
    after = (w * (g - d2 * u + m2 * v) ** 2).sum((1, 2))
    use = (after < before) & (d2[:, 0, 0] > 0) & (m2[:, 0, 0] >= 0)
    d, dmin = np.where(use, d2[:, 0, 0], d[:, 0]), np.where(use, m2[:, 0, 0], dmin[:, 0])
    si, mi, q = si.astype(np.uint8), mi.astype(np.uint8), q.astype(np.uint8)
    packed = np.zeros((n, 12), np.uint8)
    packed[:, 0:4] = si[:, :4] | (si[:, 4:] >> 4) << 6
    packed[:, 4:8] = mi[:, :4] | (mi[:, 4:] >> 4) << 6
    packed[:, 8:12] = (si[:, 4:] & 15) | (mi[:, 4:] & 15) << 4
    pair = q.reshape(n, 4, 2, 32)
    qs = (pair[:, :, 0] | pair[:, :, 1] << 4).reshape(n, 128)
    return np.concatenate([d.astype("<f2")[:, None].view(np.uint8), dmin.astype("<f2")[:, None].view(np.uint8), packed, qs], -1)


def q6_k(x):
    n = len(x)
    g = x.reshape(n, 16, 16)
    w = importance(g)
    at = np.abs(g).argmax(-1)[..., None]
    top = np.take_along_axis(g, at, -1)                          # signed: the largest value may use the level -32
    best_err, s = np.full((n, 16, 1), np.inf, np.float32), np.zeros((n, 16, 1), np.float32)
    for k in range(-9, 19):
        q = np.clip(np.rint(g * (-(32 + 0.1 * k) * inverse(top))), -32, 31)
        c = (w * g * q).sum(-1, keepdims=True) * inverse((w * q * q).sum(-1, keepdims=True))
        q = np.clip(np.rint(g * inverse(c)), -32, 31)
        err = (w * (g - c * q) ** 2).sum(-1, keepdims=True)
        better = err < best_err
        best_err, s = np.where(better, err, best_err), np.where(better, c, s)
    s = s[..., 0]
    k = np.abs(s).argmax(-1)[:, None]
    d = half(np.take_along_axis(s, k, -1) / -128)
    s0 = np.clip(np.rint(s * inverse(d)), -128, 127)
    best_err, si, q = np.full((n, 16), np.inf, np.float32), np.zeros((n, 16)), np.zeros((n, 16, 16))
    for a in (-2, -1, 0, 1, 2):
        ss = np.clip(s0 + a, -128, 127)
        sv = (d * ss)[..., None]
        qq = np.clip(np.rint(g * inverse(sv)), -32, 31)
        err = (w * (g - sv * qq) ** 2).sum(-1)
        better = err < best_err
        best_err, si, q = np.where(better, err, best_err), np.where(better, ss, si), np.where(better[..., None], qq, q)
    u = si[..., None] * q
    d2 = half(((w * g * u).sum((1, 2)) * inverse((w * u * u).sum((1, 2)))))
    better = (w * (g - d2[:, None, None] * u) ** 2).sum((1, 2)) < (w * (g - d[..., None] * u) ** 2).sum((1, 2))
    d = np.where(better, d2, d[:, 0])
    p = (q.reshape(n, 2, 4, 32) + 32).astype(np.uint8)           # halves of 128, four runs of 32 in each
    low, high = p & 15, p >> 4
    ql = np.stack([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], 2).reshape(n, 128)
    qh = (high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6).reshape(n, 64)
    return np.concatenate([ql, qh, si.astype(np.int8).view(np.uint8), d.astype("<f2")[:, None].view(np.uint8)], -1)


BLOCK = {Q8_0: (32, q8_0), Q4_K: (256, q4_k), Q6_K: (256, q6_k)}


def pack(t, kind):
    if kind == F32:
        return t.astype("<f4").tobytes()
    values, f = BLOCK[kind]
    assert t.shape[-1] % values == 0
    return np.ascontiguousarray(f(t.reshape(-1, values).astype(np.float32))).tobytes()


def format_of(name, layers):
    """Like the common 4-bit mixture: more bits for the outer layers' down matrices, the attention and the tables."""
    if name == "token_embd.weight":
        return Q8_0
    if name == "output.weight":
        return Q6_K
    part = name.split(".")[2] if name.startswith("blk.") else ""
    if part in ("attn_k", "attn_v"):
        return Q8_0
    if part in ("attn_q", "attn_output"):
        return Q6_K
    if part in ("ffn_gate_exps", "ffn_up_exps"):
        return Q4_K
    if part == "ffn_down_exps":
        return Q6_K if int(name.split(".")[1]) in (0, layers - 1) else Q4_K
    return F32


# Container ----------------------------------------------------------------------------------------------
class U32(int):
    pass


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(v):
    """(type, bytes) of a key's value."""
    if isinstance(v, bool):
        return 7, struct.pack("<?", v)
    if isinstance(v, U32):
        return 4, struct.pack("<I", v)
    if isinstance(v, int):
        return 5, struct.pack("<i", v)
    if isinstance(v, float):
        return 6, struct.pack("<f", v)
    if isinstance(v, str):
        return 8, text(v)
    items = [value(x) for x in v]
    return 9, struct.pack("<iQ", items[0][0], len(items)) + b"".join(b for _, b in items)


def order(layers):
    yield from ("token_embd.weight", "output_norm.weight", "output.weight")
    for i in range(layers):
        for n in ("attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight", "attn_q_norm.weight",
                  "attn_k_norm.weight", "ffn_norm.weight", "ffn_gate_inp.weight", "exp_probs_b.bias", "ffn_gate_exps.weight",
                  "ffn_up_exps.weight", "ffn_down_exps.weight"):
            yield "blk.%d.%s" % (i, n)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--model", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", required=True)
    a = ap.parse_args()
    weights = np.load(a.model)
    info = json.load(open(os.path.splitext(a.model)[0] + ".json"))
    tok = json.load(open(a.tokenizer))
    s, tokens = info["shape"], tok["tokens"]
    ids = {t: i for i, t in enumerate(tokens)}
    special = [ids[t] for t in ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>")]
    keys = {
        "general.architecture": "minimax-m2",
        "general.type": "model",
        "general.name": "bandwall demo",
        "general.description": "A very small mixture of experts with the graph of MiniMax-M2, trained from scratch on generated text about "
                               "memory bandwidth. It shows that the kernels work; it is no source of facts.",
        "general.size_label": "8M",
        "general.license": "mit",
        "general.tags": ["text-generation", "demo"],
        "general.languages": ["en"],
        "general.file_type": U32(15),
        "general.quantization_version": U32(2),
        "minimax-m2.block_count": U32(s["layers"]),
        "minimax-m2.context_length": U32(s["context"]),
        "minimax-m2.embedding_length": U32(s["hidden"]),
        "minimax-m2.feed_forward_length": U32(s["ffn"]),
        "minimax-m2.vocab_size": U32(len(tokens)),
        "minimax-m2.attention.head_count": U32(s["heads"]),
        "minimax-m2.attention.head_count_kv": U32(s["kv_heads"]),
        "minimax-m2.attention.key_length": U32(s["head_dim"]),
        "minimax-m2.attention.value_length": U32(s["head_dim"]),
        "minimax-m2.attention.layer_norm_rms_epsilon": float(s["eps"]),
        "minimax-m2.rope.dimension_count": U32(s["rot"]),
        "minimax-m2.rope.freq_base": float(s["rope_base"]),
        "minimax-m2.expert_count": U32(s["experts"]),
        "minimax-m2.expert_used_count": U32(s["used"]),
        "minimax-m2.expert_feed_forward_length": U32(s["ffn"]),
        "minimax-m2.expert_gating_func": U32(2),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if i in special else 1 for i in range(len(tokens))],
        "tokenizer.ggml.merges": tok["merges"],
        "tokenizer.ggml.bos_token_id": U32(special[0]),
        "tokenizer.ggml.eos_token_id": U32(special[3]),
        "tokenizer.ggml.eot_token_id": U32(special[3]),
        "tokenizer.ggml.padding_token_id": U32(special[0]),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    out, data, table, counts = b"", [], b"", {}
    offset = 0
    names = list(order(s["layers"]))
    for name in names:
        t = weights[name]
        kind = format_of(name, s["layers"])
        b = pack(t, kind)
        table += text(name) + struct.pack("<I", t.ndim) + b"".join(struct.pack("<q", n) for n in reversed(t.shape))
        table += struct.pack("<iQ", kind, offset)
        b += b"\0" * (-len(b) % ALIGN)
        offset += len(b)
        data.append(b)
        counts[NAMES[kind]] = counts.get(NAMES[kind], 0) + 1
    out = b"GGUF" + struct.pack("<Iqq", 3, len(names), len(keys))
    for k, v in keys.items():
        kind, b = value(v)
        out += text(k) + struct.pack("<i", kind) + b
    out += table
    out += b"\0" * (-len(out) % ALIGN) + b"".join(data)
    with open(a.out + ".part", "wb") as f:
        f.write(out)
    os.replace(a.out + ".part", a.out)
    print(a.out, len(out), "bytes,", len(names), "tensors", counts, "from step", info["step"])


if __name__ == "__main__":
    main()
