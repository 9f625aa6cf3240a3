#!/usr/bin/env python3
"""Writes the training text of the demo model: English about memory, bandwidth and machines.

Every sentence comes from the grammar below (own text, nothing copied); numbers are computed where they
are printed, so the arithmetic in the text is right. Standard library only; the seed decides everything.

Grammar: {a|b|c} chooses one alternative (nesting allowed, an empty alternative is fine).

  make_corpus.py --out DIR [--seed 7] [--documents 6900]
writes DIR/train.txt and DIR/heldout.txt, one document per record, records separated by byte 0x1e.
Whole documents are held out, and no document of the held-out set occurs in the training set.
"""
import argparse
import os
import random
import re

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
SEPARATOR = "\x1e"

# name in a sentence, bandwidth in GB/s, memory in GB (None: depends on what is fitted), kind of memory
MACHINES = [
    ("GB10", 273, 128, "LPDDR5X"),
    ("an RTX 3090", 936, 24, "GDDR6X"),
    ("an RTX 4090", 1008, 24, "GDDR6X"),
    ("an RTX 5090", 1792, 32, "GDDR7"),
    ("an A100 with 80 GB", 2039, 80, "HBM2e"),
    ("an H100", 3350, 80, "HBM3"),
    ("an H200", 4800, 141, "HBM3e"),
    ("an M4 Max", 546, 128, "LPDDR5X"),
    ("an M3 Ultra", 819, 512, "LPDDR5"),
    ("Strix Halo", 256, 128, "LPDDR5X"),
    ("a desktop with two channels of DDR5-5600", 89.6, None, "DDR5"),
    ("an old desktop with two channels of DDR4-3200", 51.2, None, "DDR4"),
    ("a server with twelve channels of DDR5-4800", 460.8, None, "DDR5"),
]

FORMATS = [  # name, values in a block, bytes in a block
    ("Q4_0", 32, 18), ("Q8_0", 32, 34), ("Q4_K", 256, 144), ("Q5_K", 256, 176), ("Q6_K", 256, 210),
    ("Q2_K", 256, 84), ("Q3_K", 256, 110), ("MXFP4", 32, 17), ("IQ4_XS", 256, 136),
]

# ---------------------------------------------------------------------------------------------------------
# Topics. open: first sentences; body: any order; close: last sentences; qa: (questions, answers).
TOPICS = {}


def topic(name, open, body, close, qa):
    TOPICS[name] = dict(open=open, body=body, close=close, qa=qa)


topic("decode",
 open=[
  "Decode is the phase in which a model writes its answer, one token after {another|the other}.",
  "During decode the machine {produces|writes|makes} one token per step.",
  "The decode phase is {where|the place where} bandwidth {decides everything|matters most|sets the speed}.",
  "When a {language model|model} answers, it {spends|passes} most of its time in decode.",
  "Token generation is a {simple|plain} job for the {processor|arithmetic units} and a hard job for the memory.",
 ],
 body=[
  "Decode reads every active weight once {per|for each} token.",
  "Each new token needs {all the|every one of the} active weights, so they are {read|streamed} from memory {again|once more}.",
  "{At batch one|With a single user}, a weight is {used|touched} once and then {thrown away|forgotten} until the next token.",
  "The arithmetic units {wait|are idle} most of the time, because the memory cannot feed them {fast enough|quickly enough}.",
  "For {one user|a single sequence} the work per byte is about two operations per weight, which is very little.",
  "The best possible speed is the bandwidth divided by the bytes read per token.",
  "If a step reads twice as many bytes, it takes {about|nearly} twice as long.",
  "{Smaller|Fewer bytes per} weights make decode faster, even when the arithmetic {stays the same|does not change}.",
  "A faster processor {does not help|changes little} as long as the memory is the limit.",
  "The {KV cache|cache of keys and values} is read in every step as well, and it grows with the {context|depth}.",
  "A small fixed cost per layer {comes on top|is added}, for launches and for {synchronisation|waiting}.",
  "The output head is part of the traffic, while the input table costs only one row per token.",
  "Several sequences decoded together share one {read|sweep} of the weights.",
  "The time per output token is the {inverse|reciprocal} of the decode speed of one user.",
 ],
 close=[
  "That is why {people say that decode is|decode is called} bandwidth bound.",
  "So the first question about decode is always {how many bytes a step reads|how many bytes are read per token}.",
  "In short, decode is {a walk through|a race over} the weights, and the memory sets the pace.",
 ],
 qa=[
  (["What limits decode?", "What limits the speed of decode?", "Why is decode slow?", "What is the bottleneck of token generation?"],
   ["Memory bandwidth limits decode. Every active weight is read once per token, and the arithmetic is {small|little} next to that.",
    "The memory does. A step reads all the active weights once, so the time is about the bytes divided by the bandwidth.",
    "Decode is limited by memory bandwidth, because every token needs {one full read|one read} of the active weights."]),
  (["What is decode?", "What does decode mean?", "Explain decode."],
   ["Decode is the phase in which the model writes its answer token by token. Each step reads the active weights and the KV cache once.",
    "Decode means generating tokens one at a time. It is usually limited by memory bandwidth."]),
  (["How fast can decode be?", "How do I estimate the decode speed?", "How do I predict tokens per second?"],
   ["Divide the bandwidth by the bytes read per token. That is the ceiling, and a good engine reaches {most|a large part} of it.",
    "Take the bandwidth in bytes per second and divide it by the bytes of the active weights and the cache. The result is the {ceiling|upper limit} in tokens per second."]),
  (["Does a faster processor help decode?", "Will more compute make decode faster?"],
   ["No, not while the memory is the limit. More bandwidth or fewer bytes per token help.",
    "Hardly. At batch one the arithmetic units are waiting for the memory, so only bandwidth or smaller weights help."]),
 ])

topic("prefill",
 open=[
  "Prefill is the phase in which the model reads the prompt.",
  "Before a model can answer, it has to {read|process} the prompt, and that phase is called prefill.",
  "The prompt is {processed|read} in one go, and this is {called|known as} prefill.",
  "Prefill {looks|is} very different from decode.",
 ],
 body=[
  "Many tokens are processed together, so each weight that is {read|loaded} is used many times.",
  "A long prompt gives the {processor|arithmetic units} enough work, and the compute rate becomes the limit.",
  "With enough tokens in a batch, prefill is compute bound {rather than|and not} bandwidth bound.",
  "The time to the first token is {mostly|largely} the time of the prefill.",
  "Long prompts are {cut|split} into chunks, and each chunk reads the weights once.",
  "The attention part of prefill grows with the square of the prompt length.",
  "The matrix products of prefill grow {linearly|in proportion} with the number of tokens.",
  "Prefill also fills the KV cache, which decode will read later.",
  "A very short prompt behaves like decode, because there is little reuse of the weights.",
  "In a mixture of experts, a large batch of prompt tokens touches nearly all experts.",
  "A cached prefix need not be processed again, which saves {a lot of|much} prefill time.",
  "Tensor units help prefill a lot and help decode {very little|hardly at all}.",
 ],
 close=[
  "So prefill asks for compute, and decode asks for bandwidth.",
  "That is why a machine can be good at prefill and {slow|weak} at decode at the same time.",
  "The longer the prompt, the more the compute rate matters.",
 ],
 qa=[
  (["What is prefill?", "What does prefill mean?", "Explain prefill."],
   ["Prefill is the phase in which the whole prompt is processed. Many tokens share each read of the weights, so it is usually limited by compute.",
    "Prefill reads the prompt and fills the KV cache. It works on many tokens at once."]),
  (["What limits prefill?", "Is prefill compute bound?", "Why is prefill faster per token than decode?"],
   ["For long prompts the compute rate limits prefill. Each weight is used for many tokens, so the memory is {no longer|not} the bottleneck.",
    "Prefill is usually compute bound, because one read of the weights serves many tokens."]),
  (["What is the difference between prefill and decode?", "How do prefill and decode differ?"],
   ["Prefill processes many tokens at once and is limited by compute. Decode produces one token per step and is limited by memory bandwidth.",
    "Prefill reads the prompt in large batches, and decode writes one token at a time. The first needs compute, the second needs bandwidth."]),
  (["What decides the time to the first token?", "What is TTFT?", "What does time to first token mean?"],
   ["The time to the first token is the time from the request to the first output token. It is mostly the time of the prefill, plus any waiting in the queue.",
    "TTFT is the time to the first token. A long prompt makes it longer, because prefill has more work to do."]),
 ])

topic("roofline",
 open=[
  "The roofline model is a {simple|useful} picture of what a machine can do.",
  "A roofline has two parts, a slope and a flat roof.",
  "The roofline model {puts|draws} every kernel on one chart.",
  "To see what limits a kernel, draw the roofline of the machine.",
 ],
 body=[
  "The slope is the memory bandwidth, and the flat part is the compute rate.",
  "The horizontal axis is the intensity, which is the number of operations per byte.",
  "The vertical axis is the rate in operations per second.",
  "A kernel left of the ridge is limited by memory, and a kernel right of it is limited by compute.",
  "The ridge is the intensity at which both limits are {equal|the same}.",
  "The ridge is the compute rate divided by the bandwidth.",
  "A matrix times a vector has a low intensity, so it sits {on|under} the slope.",
  "A large matrix product has a high intensity, so it can reach the flat roof.",
  "No kernel can be above the roof, and a {result|measurement} above it is {a sign of an error|wrong}.",
  "The distance to the roof shows how much {speed|time} could still be won.",
  "Caches have their own slopes, because their bandwidth is higher than that of the main memory.",
  "Smaller formats move a kernel to the right, since fewer bytes are read for the same operations.",
  "A bigger batch moves decode to the right, because more operations are done per byte.",
  "The roofline is a bound and not a prediction, because real kernels also have fixed costs.",
 ],
 close=[
  "One look at the {chart|roofline} tells which part of the machine to improve.",
  "So the roofline answers one question, {namely|which is} what limits this kernel.",
  "A good kernel is close to the roof, and a bad one is far below it.",
 ],
 qa=[
  (["What is the roofline model?", "Explain the roofline model.", "What is a roofline?", "What does the roofline show?"],
   ["The roofline model shows the highest rate that a kernel can reach. It is the smaller of the compute rate and the bandwidth times the intensity.",
    "A roofline is a chart with a slope for the memory bandwidth and a flat roof for the compute rate. It shows what limits a kernel.",
    "It is a chart of the rate against the intensity. Left of the ridge the memory is the limit, and right of it the compute is the limit."]),
  (["What is arithmetic intensity?", "What does intensity mean?", "What is intensity?"],
   ["Intensity is the number of operations per byte of traffic. Decode has a low intensity, and a long prefill has a high one.",
    "The intensity of a kernel is its operations divided by the bytes it moves."]),
  (["What is the ridge point?", "Where is the ridge of a roofline?", "What does the ridge mean?"],
   ["The ridge is the intensity where the slope meets the flat roof. It is the compute rate divided by the bandwidth.",
    "The ridge point is the compute rate divided by the bandwidth. Below that intensity a kernel is limited by memory."]),
  (["Can a kernel be above the roofline?", "My measurement is above the roofline. Why?"],
   ["No. If a measurement is above the roof, then the bytes were counted wrong, the data came from a cache, or the limits are wrong.",
    "It cannot be. Check whether the data was in a cache and whether the bytes were counted correctly."]),
 ])

topic("bandwidth",
 open=[
  "Memory bandwidth is the number of bytes that the memory can deliver per second.",
  "Bandwidth says how fast data can move, and capacity says how much data fits.",
  "For a language model at home, bandwidth is the {number to look at|most important number}.",
  "The {data sheet|vendor} gives a peak bandwidth, and no program ever reaches it.",
 ],
 body=[
  "The peak is the bus width in bytes times the transfers per second.",
  "Two channels of DDR5-5600 are 16 bytes wide and give 89.6 GB/s at the peak.",
  "GB10 has a bus of 256 bits with 8533 million transfers per second, which gives 273 GB/s.",
  "A good read kernel reaches {about|roughly} 85 percent of the peak on GB10.",
  "A read kernel on GB10 measures about 231 GB/s, although the data sheet says 273 GB/s.",
  "Refresh, bank conflicts and the change between reads and writes cost part of the peak.",
  "One core alone cannot fill the bus, because it can only wait for a limited number of {requests|cache lines} at a time.",
  "Several threads are needed to {reach|get} the full bandwidth of a machine.",
  "Reads and writes share the same bus, so a copy moves two bytes for each byte copied.",
  "The achieved bandwidth is the traffic divided by the time.",
  "A measured bandwidth above the peak means that a cache has answered.",
  "To measure it, read a buffer that is much larger than the last cache.",
  "More memory of the same kind does not make it faster, but more channels do.",
  "Bandwidth grows more slowly than compute from one generation to the next.",
 ],
 close=[
  "So always {ask for|write down} both numbers, the peak and the measured one.",
  "In the end, the bandwidth sets the ceiling for decode.",
  "A wider bus is expensive, and this is why fast memory is expensive.",
 ],
 qa=[
  (["What is memory bandwidth?", "What is bandwidth?", "What does bandwidth mean?"],
   ["Memory bandwidth is the number of bytes that the memory can deliver per second. It is usually given in GB/s.",
    "Bandwidth is how many bytes can be moved per second. For decode it is the most important number of a machine."]),
  (["What is the bandwidth of GB10?", "How fast is the memory of GB10?", "What bandwidth does GB10 have?"],
   ["GB10 has 273 GB/s at the peak. A good read kernel measures about 231 GB/s.",
    "The peak bandwidth of GB10 is 273 GB/s, from a bus of 256 bits with 8533 million transfers per second."]),
  (["How do I measure bandwidth?", "How can I measure the bandwidth of my machine?"],
   ["Read a buffer that is much larger than the last cache with all threads, and divide the bytes by the time. Repeat it and report the median.",
    "Use a read kernel on a large buffer, with several threads. The bytes divided by the time give the achieved bandwidth."]),
  (["Why do I not reach the peak bandwidth?", "Why is the measured bandwidth lower than the peak?"],
   ["The peak is a limit of the bus. Refresh, bank conflicts and changes of direction cost time, so about 80 to 90 percent is a good result.",
    "No program reaches the peak, because the memory also needs time for refresh and for changing rows. A good kernel reaches about 85 percent."]),
  (["How is peak bandwidth computed?", "How do I compute the peak bandwidth?"],
   ["Multiply the bus width in bytes by the transfers per second. A bus of 256 bits is 32 bytes wide, and 8533 million transfers per second give 273 GB/s.",
    "Take the width of the bus in bytes and multiply it by the transfer rate. Two channels of DDR5-5600 give 16 bytes times 5600 million, which is 89.6 GB/s."]),
 ])

topic("units",
 open=[
  "Units {cause|are the cause of} many {errors|mistakes} in this field.",
  "A gigabyte and a gibibyte are not the same thing.",
  "Before two sizes are compared, their units {must|have to} be the same.",
  "Many arguments about memory are really arguments about units.",
 ],
 body=[
  "One GB is 1e9 bytes, and one GiB is 2^30 bytes.",
  "A GiB is about 7.4 percent larger than a GB.",
  "One GiB is 1.0737 GB.",
  "A file of 94.93 GiB is the same as a file of 101.93 GB.",
  "One MiB is 1048576 bytes, and one MB is 1000000 bytes.",
  "One KiB is 1024 bytes.",
  "Bandwidth is always given in GB/s with 1e9 bytes.",
  "Network links are given in bits per second, so their numbers must be divided by eight to get bytes.",
  "A bit is not a byte, and eight bits make one byte.",
  "A tool that prints GB but means GiB makes a machine look smaller than it is.",
  "128 GB are only 119.2 GiB.",
  "A report should print both units when a size decides whether a model fits.",
  "One teraflop per second is 1e12 operations per second.",
  "A millisecond is one thousandth of a second, and a microsecond is one millionth.",
 ],
 close=[
  "So write the unit next to every number.",
  "A number without a unit is {worth little|not a result}.",
  "With clear units, most contradictions {disappear|go away}.",
 ],
 qa=[
  (["What is the difference between GB and GiB?", "How many bytes are in a GB?", "What is a GiB?", "Is a GB the same as a GiB?"],
   ["One GB is 1e9 bytes, and one GiB is 2^30 bytes. A GiB is about 7.4 percent larger.",
    "A GB is 1e9 bytes. A GiB is 2^30 bytes, which is 1.0737 GB.",
    "They differ by about 7.4 percent. One GB has 1e9 bytes, and one GiB has 2^30 bytes."]),
  (["How many GiB are 128 GB?", "How much is 128 GB in GiB?"],
   ["128 GB are 119.2 GiB.", "128 GB are 119.2 GiB, because a GiB is larger than a GB."]),
  (["How many bits are in a byte?", "What is a byte?"],
   ["A byte has eight bits.", "Eight bits make one byte."]),
 ])

topic("kvcache",
 open=[
  "The KV cache holds the keys and values of all earlier tokens.",
  "Without a KV cache, every new token would need all earlier work {again|once more}.",
  "Long contexts are expensive because of the KV cache.",
  "Attention looks back at all earlier tokens, and the KV cache makes this {possible|cheap}.",
 ],
 body=[
  "Its size grows {linearly|in proportion} with the number of tokens in the context.",
  "For each token and each layer it stores one key and one value per key head.",
  "The bytes per token are two times the layers, the key heads, the head size and the bytes per value.",
  "Grouped query attention makes the cache smaller, because several query heads share one key head.",
  "Each decode step reads the whole cache of its sequence once.",
  "With a deep context the cache can cost as much time as the weights.",
  "The cache can be stored in 8 bits or 4 bits to save bytes.",
  "A quantized cache must be unpacked before it is used, and this costs arithmetic.",
  "Every user needs a separate cache, so many users need a lot of memory.",
  "A sliding window {limits|bounds} the cache, because only the last tokens are kept.",
  "MiniMax-M2 needs 248 KiB per token with 16 bits per value.",
  "Paged caches store the tokens in blocks, so little memory is wasted.",
  "Two requests with the same beginning can share the cache of that beginning.",
  "In decode the weights are shared by all users, but the cache is not.",
 ],
 close=[
  "So the cache sets the limit for long contexts and for many users.",
  "A fit check must count the weights and the cache together.",
  "When speed falls with depth, look at the KV cache first.",
 ],
 qa=[
  (["What is the KV cache?", "What is a KV cache?", "Explain the KV cache.", "Why do we need a KV cache?"],
   ["The KV cache holds the keys and values of all earlier tokens. Attention reads it in every step instead of computing them again.",
    "It stores the keys and values of the context. It grows with every token, and every decode step reads it once."]),
  (["How large is the KV cache?", "How big does the KV cache get?", "How do I compute the size of the KV cache?"],
   ["Multiply two by the layers, the key heads, the head size, the bytes per value and the number of tokens. The two stands for keys and values.",
    "Per token it is two times the layers times the key heads times the head size times the bytes per value. The total grows with the context."]),
  (["Why does decode get slower with depth?", "Why does a long context make decode slow?", "Why is a deep context slow?"],
   ["Each step reads the whole KV cache, and the cache grows with the context. So a deeper context means more bytes per token.",
    "The cache of keys and values gets longer with every token, and decode reads all of it in every step."]),
  (["How can I make the KV cache smaller?", "How do I save memory in the KV cache?"],
   ["Use a shorter context, a smaller cache format, or a model with grouped query attention or a sliding window.",
    "Store it in 8 or 4 bits, or limit the context. Models with fewer key heads need less as well."]),
 ])

topic("experts",
 open=[
  "A mixture of experts has many {small networks|experts}, and each token uses only a few of them.",
  "In a mixture of experts, a router {chooses|selects} a few experts for every token.",
  "Mixture of experts models are large in memory and light in traffic.",
  "Modern large models are {often|mostly} mixtures of experts.",
 ],
 body=[
  "All experts must {fit|be} in memory, but only the chosen ones are read for a token.",
  "The capacity need follows the total weights, and the traffic follows the active weights.",
  "MiniMax-M2 has 256 experts in every layer and uses 8 of them for a token.",
  "MiniMax-M2 has 228.7 billion weights, and about 10 billion of them are active per token.",
  "The router gives each expert a score and takes the experts with the highest scores.",
  "A selection bias can decide which experts are taken without changing their weights in the sum.",
  "The outputs of the chosen experts are added with weights that sum to one.",
  "With several users, different tokens choose different experts, so more experts are read per step.",
  "Real routing is not uniform, and some experts are chosen more often than others.",
  "With a large batch nearly all experts are read in every step.",
  "An expert that is never chosen wastes memory, so training keeps the load balanced.",
  "Two tokens that choose the same expert share one read of its weights.",
  "Attention and the output head are active for every token.",
  "The experts hold most of the weights, often more than 95 percent.",
  "Cold experts can be kept on a slower memory, but each miss costs time.",
 ],
 close=[
  "So a mixture of experts trades capacity for bandwidth.",
  "This is why such models suit machines with much memory and modest bandwidth.",
  "The number of experts read per step is what a predictor has to know.",
 ],
 qa=[
  (["What is a mixture of experts?", "What does MoE mean?", "Explain mixture of experts.", "What is an expert?"],
   ["A mixture of experts has many small networks in each layer, and a router chooses a few of them for each token. All must fit in memory, but only the chosen ones are read.",
    "MoE means mixture of experts. Each token uses only a few experts, so the traffic is much smaller than the size of the model."]),
  (["Why are MoE models fast?", "Why is a mixture of experts fast at decode?"],
   ["Only the chosen experts are read for a token. The bytes per token follow the active weights and not the total weights.",
    "Because decode reads only the active weights. A large model can have a small active part."]),
  (["What does the router do?", "What is the router?", "How are experts chosen?"],
   ["The router gives each expert a score for the token and takes the experts with the highest scores. Their outputs are added with weights that sum to one.",
    "It chooses the experts of each token. A selection bias may help to keep the load balanced."]),
  (["What happens to experts with many users?", "Does batching help a mixture of experts?"],
   ["Different tokens choose different experts, so more experts are read per step. Batching still helps, but less than for a dense model.",
    "It helps less than for a dense model, because each new token brings new experts into the step."]),
 ])

topic("quantization",
 open=[
  "Quantization stores weights with fewer bits.",
  "A quantized weight is a small integer times a scale.",
  "Most local models are {quantized|stored in four to six bits}.",
  "Fewer bits per weight mean less memory and faster decode.",
 ],
 body=[
  "Weights are stored in blocks, and each block has its own scale.",
  "Q8_0 stores 32 weights in 34 bytes, which is 8.5 bits per weight.",
  "Q4_0 stores 32 weights in 18 bytes, which is 4.5 bits per weight.",
  "Q4_K stores 256 weights in 144 bytes, which is 4.5 bits per weight.",
  "Q6_K stores 256 weights in 210 bytes, which is 6.5625 bits per weight.",
  "MXFP4 stores 32 weights in 17 bytes, which is 4.25 bits per weight.",
  "The scales cost bytes too, so a format with 4 bits needs more than 4 bits per weight.",
  "The storage format decides the bytes, and the kernel decides the arithmetic.",
  "The weights are unpacked just before they are used, {often in registers|close to the arithmetic}.",
  "Unpacking costs arithmetic, and on a slow processor it can become the limit.",
  "A good quantizer searches for the scale with the smallest error.",
  "Mixed files use more bits for the tensors that {matter most|are sensitive}.",
  "Norms and routers are small, so they stay in 32 bits.",
  "Too few bits make the answers worse, and two bits are usually too few.",
 ],
 close=[
  "So a smaller format buys speed and pays with accuracy.",
  "The exact size of a file follows from the formats of its tensors.",
  "Count the bytes of each tensor, and the size of the file is no surprise.",
 ],
 qa=[
  (["What is quantization?", "What does quantization do?", "Explain quantization."],
   ["Quantization stores weights with fewer bits, as small integers with a scale per block. It saves memory and makes decode faster.",
    "It replaces each weight by a small integer times a scale. Fewer bytes are read per token, so decode is faster."]),
  (["How many bits per weight does Q4_K use?", "How large is a Q4_K block?", "What is Q4_K?"],
   ["Q4_K stores 256 weights in 144 bytes, which is 4.5 bits per weight.",
    "It uses 4.5 bits per weight, because a block of 256 weights takes 144 bytes."]),
  (["How many bits per weight does Q8_0 use?", "What is Q8_0?"],
   ["Q8_0 stores 32 weights in 34 bytes, which is 8.5 bits per weight.",
    "It uses 8.5 bits per weight, with one scale for each block of 32 weights."]),
  (["How many bits per weight does Q6_K use?", "What is Q6_K?"],
   ["Q6_K stores 256 weights in 210 bytes, which is 6.5625 bits per weight.",
    "It uses 6.5625 bits per weight, because a block of 256 weights takes 210 bytes."]),
  (["Does quantization make decode faster?", "Why does quantization help?"],
   ["Yes. Decode is limited by the bytes read per token, and a smaller format reads fewer bytes.",
    "Yes, as long as the memory is the limit. Half the bytes give nearly twice the speed."]),
  (["Does quantization lose quality?", "Is four bits good enough?"],
   ["It loses a little. Four to five bits are usually fine, and two bits are usually too few.",
    "Some accuracy is lost, but with about 4.5 bits per weight the loss is small for most models."]),
 ])

topic("capacity",
 open=[
  "Capacity is the number of bytes that a memory can hold.",
  "A model that does not fit cannot run, however fast the machine is.",
  "The first question is not how fast a model runs but whether it fits.",
  "Four numbers describe the memory of a machine: installed, visible, reserved and usable.",
 ],
 body=[
  "The usable memory is the visible memory minus what the system needs.",
  "A machine sold with 128 GB shows a little less to a program.",
  "The weights, the KV cache and the compute buffers must fit together.",
  "The weights are the largest part, and their size is known exactly from the file.",
  "The cache depends on the context and on the number of users.",
  "Headroom is the usable memory minus the needed memory.",
  "If the headroom is negative, the model does not fit.",
  "On a machine with unified memory, the processor and the graphics unit share one pool.",
  "On a unified pool the page cache of the file can exist beside the copy for the device.",
  "A box with too little memory may freeze instead of printing an error.",
  "Leave a few GiB free for the system and the desktop.",
  "A smaller format or a shorter context can make a model fit.",
  "Two machines can hold a model together, but then the link between them counts.",
  "Swapping to a disk is slow, because a disk has far less bandwidth than memory.",
 ],
 close=[
  "So check the fit before you download a file.",
  "A fit check costs nothing and saves an hour.",
  "Capacity says whether a model runs, and bandwidth says how fast.",
 ],
 qa=[
  (["Does my model fit?", "How do I check whether a model fits?", "Will the model fit in memory?"],
   ["Add the weights, the KV cache and the compute buffers, and compare the sum with the usable memory. If headroom is left, it fits.",
    "It fits if the weights, the cache and the buffers together are smaller than the usable memory. Leave a few GiB for the system."]),
  (["What is the difference between capacity and bandwidth?", "Is capacity the same as bandwidth?"],
   ["Capacity is how many bytes a memory can hold. Bandwidth is how many bytes it can deliver per second.",
    "Capacity decides whether a model fits, and bandwidth decides how fast it runs."]),
  (["What is usable memory?", "Why is less memory usable than installed?"],
   ["Usable memory is the visible memory minus what the system needs. The visible memory is a little smaller than the installed memory.",
    "The system and the firmware take a part of it. What remains for a model is the usable memory."]),
  (["What can I do if the model does not fit?", "My model does not fit. What now?"],
   ["Choose a smaller format, a shorter context or a smaller model. A second machine can help as well.",
    "Use fewer bits per weight or a shorter context. If that is not enough, take a smaller model."]),
 ])

topic("caches",
 open=[
  "Between the cores and the main memory there are {several|two or three} levels of cache.",
  "A cache is a small and fast memory close to the core.",
  "Caches help when data is used more than once.",
  "Every level of the memory has its own capacity and its own bandwidth.",
 ],
 body=[
  "The first cache is the smallest and the fastest.",
  "A cache line is usually 64 bytes, so memory is always read in pieces of that size.",
  "The weights of a large model do not fit in any cache, so each token streams them from the main memory.",
  "A small model may fit in the last cache and then it runs faster than the memory allows.",
  "The prefetcher sees a regular pattern and fetches the next lines early.",
  "A random pattern defeats the prefetcher and pays the full latency.",
  "Latency is the time of one access, and bandwidth is the rate of many accesses.",
  "An access to the main memory takes about one hundred nanoseconds.",
  "Blocking keeps a part of a matrix in the cache while it is used again.",
  "A benchmark that fits in a cache says nothing about the main memory.",
  "Threads that write to the same line slow each other down.",
  "Activations are small and usually stay in a cache.",
 ],
 close=[
  "So know the size of your caches before you trust a benchmark.",
  "Reuse is what makes a cache {useful|worth its price}.",
  "For streaming weights a cache is only a buffer.",
 ],
 qa=[
  (["What is a cache?", "What does a cache do?"],
   ["A cache is a small and fast memory close to the core. It helps when data is used more than once.",
    "It keeps recently used data close to the core, so that the next access is fast."]),
  (["What is latency?", "What is the difference between latency and bandwidth?"],
   ["Latency is the time of one access, and bandwidth is the rate of many accesses. Many requests in flight hide the latency.",
    "Latency is how long one access takes. Bandwidth is how many bytes arrive per second."]),
  (["Do caches help decode?", "Does a bigger cache make decode faster?"],
   ["Not much for a large model, because its weights do not fit and are read once per token. Activations do stay in the cache.",
    "Hardly, because the weights are streamed and each one is used once per token."]),
  (["What is a cache line?", "How large is a cache line?"],
   ["A cache line is the smallest piece that is read from memory, usually 64 bytes.",
    "It is usually 64 bytes. Memory is always read in pieces of that size."]),
 ])

topic("calibration",
 open=[
  "A prediction is only as good as its calibration.",
  "Calibration means measuring what a machine really does.",
  "Data sheets give peaks, and calibration gives the truth.",
  "Before a prediction can be trusted, the machine has to be measured.",
 ],
 body=[
  "A small set of kernels is timed, and the results are stored in a profile.",
  "The profile says where each number comes from.",
  "The bandwidth, the compute rate and the fixed cost per operation are the main numbers.",
  "Each kernel is run several times, and the median is kept.",
  "The first runs are thrown away, because caches and clocks must settle.",
  "Another program on the machine disturbs the measurement.",
  "A profile should be frozen before the test, or the test proves nothing.",
  "The prediction is written before the run, so nobody can tune one to the other.",
  "A fit on the same data that it is tested on is always {too good|flattering}.",
  "Leave one model out, fit on the others and predict the one that was left out.",
  "Every error should be traced to a cause that has a name.",
  "A machine that gets hot lowers its clock, so short tests look better than long ones.",
 ],
 close=[
  "So measure first, predict next and compare at the end.",
  "An honest tool prints its error next to its prediction.",
  "A prediction that cannot fail is not a prediction.",
 ],
 qa=[
  (["What is calibration?", "Why do I need calibration?", "What does calibration do?"],
   ["Calibration measures what the machine really does and stores the numbers in a profile. Predictions use these numbers instead of the peaks of a data sheet.",
    "It times a few kernels on your machine. The measured bandwidth and compute rate then replace the data sheet."]),
  (["Why is the median used?", "Why do you report the median?"],
   ["The median is not disturbed by a few slow runs. The mean would move with every hiccup of the system.",
    "A few runs are always slow because of other programs. The median ignores them."]),
  (["Why is the prediction written before the run?", "Why predict before measuring?"],
   ["So that nobody can tune the prediction to the result. A prediction made afterwards proves nothing.",
    "Because a prediction that is made after the run can be bent to fit. Writing it first keeps it honest."]),
  (["How accurate is the prediction?", "How good are the predictions?"],
   ["It depends on the calibration. On a quiet machine that was measured, decode is predicted within a few percent.",
    "With a calibrated profile the error of decode is a few percent. With a data sheet alone it is larger."]),
 ])

topic("batching",
 open=[
  "Batching lets several sequences share one read of the weights.",
  "A server decodes many users at the same time.",
  "With one user the machine is badly used, and with many users it is well used.",
  "The batch is the number of sequences that are decoded in one step.",
 ],
 body=[
  "The weights are read once per step, no matter how many sequences are in the batch.",
  "The total throughput grows with the batch until the compute becomes the limit.",
  "Each user waits a little longer when the batch grows.",
  "The KV cache is not shared, so it grows with the number of users.",
  "At a large batch the cache can cost more bytes than the weights.",
  "A dense model gains more from batching than a mixture of experts.",
  "Continuous batching lets a new request join while others are still running.",
  "A long prefill can delay the tokens of everybody else, so it is cut into chunks.",
  "Throughput is counted in tokens per second over all users.",
  "The time per output token is what a single user feels.",
  "When requests arrive faster than they are served, the queue grows without end.",
  "A good server keeps the batch full and the waiting time short.",
 ],
 close=[
  "So batching trades the speed of one user for the throughput of all.",
  "This is why a server is cheaper per token than a machine at home.",
  "The right batch is the largest one with which the users are still {happy|content}.",
 ],
 qa=[
  (["What is batching?", "Why does batching help?", "What does batching do?"],
   ["Batching decodes several sequences in one step. They share one read of the weights, so the total throughput grows.",
    "It lets many users share each read of the weights. The cache of each user is still read separately."]),
  (["What is throughput?", "What does throughput mean?"],
   ["Throughput is the number of tokens per second over all users.",
    "Throughput counts the tokens per second of the whole server. The speed of one user is lower."]),
  (["What is TPOT?", "What is the time per output token?"],
   ["TPOT is the time per output token. It is the time that one user waits between two tokens.",
    "It is the mean time between two output tokens of one user, and so the inverse of the decode speed."]),
  (["What is continuous batching?", "How does continuous batching work?"],
   ["Continuous batching lets a new request join the batch while others are running. No user has to wait until the whole batch is finished.",
    "Requests enter and leave the batch at every step. This keeps the machine busy."]),
 ])

topic("attention",
 open=[
  "Attention compares the query of the new token with the keys of all earlier tokens.",
  "In attention, each token looks back at the tokens before it.",
  "Attention is the part of the model whose cost grows with the context.",
 ],
 body=[
  "The scores go through a softmax and become weights that sum to one.",
  "The output is the weighted sum of the values.",
  "The query comes from the new token, and the keys and values come from the cache.",
  "Several heads work side by side, and each has its own part of the vector.",
  "Grouped query attention lets several query heads share one key head.",
  "MiniMax-M2 has 48 query heads and 8 key heads of size 128.",
  "Rotary positions turn pairs of numbers by an angle that depends on the position.",
  "In MiniMax-M2 only 64 of the 128 dimensions of a head are rotated.",
  "Norms on queries and keys keep the scores in a safe range.",
  "A good kernel never stores the whole score matrix.",
  "The projections of attention are read for every token, since they belong to no expert.",
  "At a short context the projections cost more than the attention itself.",
 ],
 close=[
  "So attention is cheap at the start and dear at depth.",
  "With a long context, attention becomes a matter of bandwidth too.",
 ],
 qa=[
  (["What is attention?", "How does attention work?", "Explain attention."],
   ["Attention compares the query of the new token with the keys of all earlier tokens. The scores become weights, and the output is the weighted sum of the values.",
    "Each token looks back at the tokens before it and takes a weighted sum of their values."]),
  (["What is grouped query attention?", "What is GQA?"],
   ["In grouped query attention several query heads share one key head. This makes the KV cache smaller.",
    "GQA means that several query heads use the same keys and values. It saves bytes in the cache."]),
  (["What is a rotary embedding?", "What is RoPE?"],
   ["It turns pairs of numbers in queries and keys by an angle that depends on the position. So the score depends on the distance of two tokens.",
    "RoPE is a rotary position embedding. Queries and keys are rotated by an angle that grows with the position."]),
 ])

topic("loading",
 open=[
  "Before a model can run, its file has to be loaded.",
  "Loading time is a matter of storage bandwidth.",
  "A model file is read from the disk once and then kept in memory.",
 ],
 body=[
  "A fast drive reads about 5 GB per second, so 100 GB take about 20 seconds.",
  "A mapped file is read page by page when it is first touched.",
  "The first run after a start is slow, because the pages come from the disk.",
  "The second run is fast, because the system keeps the file in the page cache.",
  "Reading with several threads helps a drive to reach its full rate.",
  "A network drive is much slower than a local one.",
  "A GGUF file starts with a header, then come the keys, the tensor list and the data.",
  "Each tensor in the file is aligned, so it can be used without a copy.",
  "The header tells the shape and the format of every tensor, so the size can be checked before loading.",
  "A load of ten minutes is not a limit of the drive but of the software.",
  "On a unified machine no copy to a separate card is needed.",
 ],
 close=[
  "So divide the size of the file by the rate of the drive and expect that time.",
  "After that, the speed of the drive does not matter any more.",
 ],
 qa=[
  (["How long does loading take?", "How long does it take to load a model?", "Why is loading slow?"],
   ["Divide the size of the file by the rate of the drive. At 5 GB per second, 100 GB take about 20 seconds.",
    "It takes about the file size divided by the rate of the drive. If it takes much longer, the software is the limit."]),
  (["What is a GGUF file?", "What is GGUF?", "What is in a GGUF file?"],
   ["GGUF is a file format for models. It holds a header, keys with the settings, a list of tensors and the data of the tensors.",
    "A GGUF file holds everything that a model needs: the settings, the tokenizer and the tensors."]),
  (["Why is the first run slower?", "Why is the second run faster?"],
   ["On the first run the pages of the file come from the disk. Later they are in the page cache.",
    "The first run reads the file from the drive. After that the system keeps it in memory."]),
 ])

topic("compute",
 open=[
  "The compute rate is the number of operations that a machine can do per second.",
  "Compute matters when many tokens are processed together.",
  "Vendors like to print the highest compute rate that they can find.",
 ],
 body=[
  "One multiplication and one addition count as two operations.",
  "A token needs about two operations for every active weight.",
  "A model with 10 billion active weights needs about 20 billion operations per token.",
  "The rate depends on the number format, and smaller formats are faster.",
  "A sparse rate is twice the dense rate and is seldom reached by real models.",
  "The petaflop of GB10 is a sparse rate in four bits.",
  "A hot chip lowers its clock, and then the compute rate falls too.",
  "Vector units do several operations with one instruction.",
  "A fused multiply and add does two operations in one instruction.",
  "Tensor units multiply small matrices in one go.",
  "A small matrix does not fill the machine, so its rate is low.",
  "Prefill can use a large part of the compute rate, and decode uses very little of it.",
 ],
 close=[
  "So read the small print, and look for the dense rate.",
  "More compute shortens the prefill and leaves decode as it is.",
 ],
 qa=[
  (["How many operations does a token need?", "How much compute does a token need?"],
   ["About two operations for each active weight, one multiplication and one addition.",
    "A token needs about two operations per active weight. With 10 billion active weights that is about 20 billion operations."]),
  (["What is a FLOP?", "What is a teraflop?"],
   ["A FLOP is one operation on floating point numbers. A teraflop per second is 1e12 of them per second.",
    "It is one floating point operation. A multiplication with an addition counts as two."]),
  (["What is the difference between dense and sparse compute?", "What is a sparse rate?"],
   ["A sparse rate assumes that half of the weights are zero in a fixed pattern. The dense rate is half as large and is the one to use.",
    "Vendors often print the sparse rate, which is twice the dense rate. Real models usually run at the dense rate."]),
 ])

topic("threads",
 open=[
  "On a processor, the work of a step is shared by several threads.",
  "More threads help until the memory is busy all the time.",
  "The right number of threads is {seldom|not always} the number of cores.",
 ],
 body=[
  "Each thread takes some rows of a matrix and computes their products.",
  "After each operation the threads wait for each other at a barrier.",
  "One slow thread makes all the others wait.",
  "A few threads are often enough to fill the memory bus.",
  "More threads than cores make decode slower.",
  "Two threads on one core share its units, and this seldom helps.",
  "Small cores finish later than big cores when both get the same number of rows.",
  "A machine with two sockets has two memories, and far memory is slower.",
  "Threads should stay on their cores, because moving costs time.",
  "Dynamic scheduling gives more rows to the threads that are faster.",
 ],
 close=[
  "So try a few thread counts and keep the best one.",
  "When the bus is full, one more thread only adds waiting.",
 ],
 qa=[
  (["How many threads should I use?", "What is the best number of threads?"],
   ["Start with the number of physical cores and then try fewer. Decode is limited by memory, so a few threads are often enough.",
    "Try several counts and keep the fastest. More threads than physical cores seldom help."]),
  (["Why do more threads not help?", "Why is decode not faster with more threads?"],
   ["When the memory bus is full, more threads only wait. The bandwidth is the limit.",
    "Because the memory is the limit. Once the bus is busy all the time, another thread adds nothing."]),
 ])

topic("speculation",
 open=[
  "Speculative decoding guesses several tokens and checks them in one step.",
  "A draft model can make decode faster.",
  "Checking several tokens costs hardly more than making one.",
 ],
 body=[
  "A small draft model writes a few tokens, and the large model checks them together.",
  "The check reads the weights of the large model once for all the guessed tokens.",
  "Tokens up to the first wrong guess are kept.",
  "The result is the same as without the draft, only the speed changes.",
  "The gain depends on how often the guesses are right.",
  "With a mixture of experts the gain is smaller, because the guessed tokens choose different experts.",
  "With many users the gain disappears, because the batch already shares the weights.",
  "A poor draft model makes everything slower.",
  "Code and lists are easy to guess, and free prose is harder.",
 ],
 close=[
  "So speculation turns spare compute into speed.",
  "Measure the acceptance rate before you trust a promise.",
 ],
 qa=[
  (["What is speculative decoding?", "How does speculative decoding work?"],
   ["A small draft model guesses several tokens, and the large model checks them in one step. The weights are read once for all of them.",
    "It guesses a few tokens with a small model and checks them together with the large one. Right guesses are kept."]),
  (["Does speculative decoding change the result?", "Is speculative decoding exact?"],
   ["No, the result stays the same. Wrong guesses are thrown away, and only the speed changes.",
    "The result is the same as without it, because the large model checks every token."]),
 ])

topic("accounting",
 open=[
  "Good accounting is the base of every good prediction.",
  "Most wrong predictions come from wrong byte counts.",
  "Counting bytes is dull work, but it {pays|is worth it}.",
 ],
 body=[
  "Count the bytes of each tensor with its own format.",
  "Do not multiply the number of weights by four and a half bits and call it the traffic.",
  "The attention weights are often stored in more bits than the experts.",
  "The output head is read for every token and must be counted.",
  "The input table is not streamed, because only one row is needed per token.",
  "A tied table serves as input table and as output head.",
  "The sum over all tensors must equal the size of the file.",
  "Add the bytes of the KV cache at the given depth.",
  "The activations are small next to the weights.",
  "If predicted bytes and counted bytes differ, one of them has an error.",
  "A low efficiency in a report is often a wrong byte count and not a slow machine.",
  "The total parameters do not tell the traffic of a mixture of experts.",
 ],
 close=[
  "With exact bytes, the time follows almost by itself.",
  "So count first and explain later.",
 ],
 qa=[
  (["How do I count the bytes of a step?", "How many bytes does a token read?", "Which bytes does decode read?"],
   ["Add the bytes of all active tensors in their own formats, the output head, and the KV cache at the current depth. The input table adds only one row.",
    "Sum the active weights, the output head and the cache. The input table counts only one row per token."]),
  (["Is the input table read for every token?", "Does the embedding table count?"],
   ["No, only one row of it is read per token. The output head is read completely.",
    "Only one row per token is needed, so the table is not part of the stream."]),
 ])

topic("energy",
 open=[
  "Moving a byte costs more energy than computing with it.",
  "Power is a limit too, even for a machine at home.",
  "The energy per token is the power divided by the tokens per second.",
 ],
 body=[
  "A machine that draws 100 watts and makes 20 tokens per second needs 5 joules per token.",
  "A machine that draws 60 watts and makes 30 tokens per second needs 2 joules per token.",
  "Memory close to the chip needs less energy per byte.",
  "A laptop on battery lowers its clocks, and the speed falls.",
  "A hot machine slows down to protect itself.",
  "Smaller formats save energy, because fewer bytes are moved.",
  "A batch saves energy per token, because the weights are moved once for all users.",
  "An idle machine draws power as well, so a server should be busy.",
 ],
 close=[
  "So fewer bytes are good for the speed and for the energy bill.",
  "Tokens per joule is an honest number to compare machines.",
 ],
 qa=[
  (["How much energy does a token need?", "How do I compute the energy per token?"],
   ["Divide the power in watts by the tokens per second. With 100 watts and 20 tokens per second, a token needs 5 joules.",
    "It is the power divided by the speed. Fewer bytes per token also mean less energy."]),
 ])

topic("network",
 open=[
  "Two machines can share one model over a network link.",
  "A link between machines is much slower than the memory inside them.",
  "Splitting a model over machines adds capacity first and speed second.",
 ],
 body=[
  "Splitting by layers sends one small vector per token over the link.",
  "Splitting each layer makes both machines work at once, but they must meet twice in every layer.",
  "The latency of the link counts more than its bandwidth during decode.",
  "During prefill the bandwidth of the link counts, because many tokens are sent.",
  "A link of 200 gigabits per second moves at most 25 GB per second.",
  "A link of 10 gigabits per second moves at most 1.25 GB per second.",
  "With a split by layers, one user is not faster than on one machine.",
  "Two machines have twice the memory and twice the total bandwidth.",
 ],
 close=[
  "So a second machine helps a model fit, and only a good link makes it fast.",
  "Look at the latency before you buy a cable.",
 ],
 qa=[
  (["Can I use two machines?", "Can two machines run one model?", "Does a second machine help?"],
   ["Yes. Two machines have twice the memory, so a larger model fits. The link between them adds time to each layer or each step.",
    "Yes, the model can be split by layers or inside each layer. The latency of the link then becomes important."]),
  (["What matters more for decode, link latency or link bandwidth?", "Is the link a bottleneck?"],
   ["For decode the latency of the link matters more, because only small vectors are sent.",
    "During decode the latency counts, and during prefill the bandwidth counts."]),
 ])

topic("benchmarks",
 open=[
  "A benchmark is a question to a machine, so the question must be clear.",
  "Many published benchmarks cannot be compared with each other.",
  "A good benchmark says what was run, on what, and how often.",
 ],
 body=[
  "Write down the model, the format, the context, the batch and the version of the software.",
  "Report prefill and decode apart, since they have different limits.",
  "A speed without a depth is only half a result.",
  "Run it several times and report the median and the spread.",
  "Warm up first, so that the pages are loaded and the clocks have settled.",
  "Compare the achieved bandwidth with the peak to see how good an engine is.",
  "A result above the speed of light is an error and not a success.",
  "An old version of the software can be much slower than a new one.",
  "A short test can hide the heat of a long one.",
  "Never compare one user on one machine with many users on another.",
 ],
 close=[
  "So a number without its conditions is only a rumour.",
  "If it cannot be repeated, it is not a benchmark.",
 ],
 qa=[
  (["How do I make a good benchmark?", "What should a benchmark report?"],
   ["Report the model, the format, the context, the batch and the software version. Give prefill and decode apart, with the median of several runs.",
    "Say exactly what was run and how often. Warm up first, and give the median and the spread."]),
  (["How do I compare two engines?", "How do I know if an engine is good?"],
   ["Compare the achieved bandwidth with the bandwidth of a plain read kernel. A good decode engine comes close to it.",
    "Run the same model and format with both, at the same depth, and compare the achieved bandwidth."]),
 ])

topic("bandwall",
 open=[
  "The tool bandwall {meets|joins} a machine with a job and says what should happen.",
  "The name bandwall stands for the wall that memory bandwidth builds in front of every model.",
  "With bandwall you can see where the time of a model goes.",
 ],
 body=[
  "It predicts the time of a step and then runs the step with real kernels.",
  "It counts the bytes of every operation, and so it knows the traffic exactly.",
  "The prediction is written before the first token is timed.",
  "The report shows the prediction beside the measurement.",
  "The difference between the two is what people should read.",
  "A machine is described by a small file with its memory, its rates and the source of each number.",
  "The same model file is used for the prediction and for the run.",
  "It prints GB and GiB, so that nobody has to guess.",
  "It says which limit each operation meets, the memory or the compute.",
  "It also checks whether a model fits before anything is loaded.",
 ],
 close=[
  "So you can ask about a machine before you buy it.",
  "In this way a prediction becomes something that can be wrong, and so something that can be trusted.",
 ],
 qa=[
  (["What is bandwall?", "What does bandwall do?", "What is this tool?"],
   ["bandwall is a tool that predicts and measures how fast a model runs on a machine. It counts bytes and compares the prediction with a real run.",
    "It predicts the speed of a model from the bytes and the bandwidth, and then runs the model to check the prediction."]),
  (["What is the memory wall?", "What is the bandwidth wall?"],
   ["It is the limit that memory bandwidth sets. Processors got faster more quickly than memories, so many programs wait for data.",
    "The wall is the point where more compute no longer helps, because the memory cannot deliver the data."]),
 ])

topic("demo",
 open=[
  "This demo model is {tiny|very small}, and it speaks only about memory and machines.",
  "A small model is enough to show how the real kernels work.",
  "The demo model was trained from scratch on generated text.",
 ],
 body=[
  "It has four layers and eight experts in each layer.",
  "Two experts are active for each token.",
  "It has about eight million weights, and about three million are active per token.",
  "Its file is only a few megabytes, so it fits in the cache of many processors.",
  "Because it fits in a cache, its speed says nothing about the main memory.",
  "Its shape follows MiniMax-M2, only much smaller.",
  "It learned from sentences that were written by a program.",
  "It knows a few facts, and it cannot do arithmetic.",
  "Do not trust its numbers, and use the tool to compute them.",
 ],
 close=[
  "So enjoy its sentences, and take the numbers from the report.",
  "It shows that the whole chain works, from the file to the last token.",
 ],
 qa=[
  (["Who are you?", "What are you?", "What is your name?", "Introduce yourself.", "Are you a language model?"],
   ["I am the demo model of bandwall. I am very small, and I only know a little about memory, bandwidth and machines.",
    "I am a tiny mixture of experts that comes with bandwall. I was trained on generated text about memory and machines."]),
  (["How large are you?", "How many parameters do you have?", "How big is the demo model?", "How many experts do you have?"],
   ["I have about eight million weights in four layers. Each layer has eight experts, and two of them are active for a token.",
    "I have four layers with eight experts each, about eight million weights in all. About three million are active per token."]),
  (["Hello!", "Hello.", "Hi!", "Hi there.", "Good morning.", "Hey."],
   ["Hello! Ask me about memory, bandwidth or machines.",
    "Hello! I am a small demo model. You can ask me about decode, prefill, the KV cache or the roofline."]),
  (["Thank you.", "Thanks!", "Thanks, that helps.", "Thank you very much."],
   ["You are welcome. Measure before you believe.", "You are welcome."]),
  (["Can you do arithmetic?", "Can I trust your numbers?", "Are your answers right?"],
   ["No, I am too small for that. Use the report of the tool for numbers.",
    "Do not trust my numbers. I only repeat what I have learned, so compute them with the tool."]),
  (["What can you do?", "What can I ask you?", "What do you know?", "Help."],
   ["You can ask me about decode, prefill, bandwidth, the KV cache, experts, quantization, units or the roofline.",
    "I can explain a few words of this field, such as decode, prefill, intensity, capacity and quantization."]),
  (["Tell me a joke.", "{What is|How is} the weather {today|tomorrow|in Paris|in Berlin}?", "What is the capital of {France|Spain|Japan|Italy|Norway|Peru|China}?",
    "Who {won|lost} the {game|election|match|race}?", "Write {a poem|a song|a letter|an essay} about {cats|love|the sea|winter|my dog}.",
    "Tell me {a story|something funny|about history|about cats|about the moon}.", "What is the meaning of life?", "{Do|Can} you {like music|sing|see|dream|feel}?",
    "How do I {cook rice|bake bread|learn French|fix my car|lose weight}?", "Translate this text.", "What time is it?",
    "Who {is the president|was Napoleon|wrote Hamlet|is your favourite singer|are my parents}?", "Can you write {code|a program|a script}?",
    "How old {are you|is the sun|is the earth}?", "Where {is London|am I|do you live}?", "What should I {eat|cook|wear|read} today?", "Is there a god?",
    "What is {love|money|a dog|the sun|a good book|chemistry|football}?"],
   ["I do not know. I am a small demo model and only know about memory and machines.",
    "I cannot help with that. I only know a little about memory, bandwidth and machines."]),
 ])

topic("gb10",
 open=[
  "GB10 is a small machine with much memory and modest bandwidth.",
  "GB10 puts a processor and a graphics unit on one pool of memory.",
  "With 128 GB of unified memory, GB10 can hold {large models|models that fit on few other machines}.",
 ],
 body=[
  "Its memory is LPDDR5X with a bus of 256 bits.",
  "The peak bandwidth of GB10 is 273 GB/s, and a read kernel reaches about 231 GB/s.",
  "GB10 has 48 multiprocessors and 20 processor cores.",
  "Ten of its processor cores are large, and ten are smaller.",
  "A program on GB10 sees about 120 GiB of the 128 GB.",
  "A mixture of experts suits GB10, because it needs much capacity and little bandwidth.",
  "A dense model with 70 billion weights is slow on GB10, because all weights are read for every token.",
  "Its prefill is good, because the tensor units are strong.",
  "When the pool is too full, the machine may freeze, so leave a few GiB free.",
  "Two of these machines can be joined with a cable of 200 gigabits per second.",
  "MiniMax-M2 in NVFP4 needs 139.9 GB, so it does not fit on one GB10.",
 ],
 close=[
  "So GB10 is a machine for capacity first.",
  "Choose a model with few active weights, and GB10 answers quickly.",
 ],
 qa=[
  (["What is GB10?", "Tell me about GB10.", "Is GB10 a good machine?", "Should I buy GB10?", "What about GB10?"],
   ["GB10 is a small machine with 128 GB of unified memory and 273 GB/s of bandwidth. It suits mixtures of experts with few active weights.",
    "It has a processor and a graphics unit on one pool of 128 GB, with 273 GB/s. Large mixtures of experts run well on it, and large dense models are slow."]),
  (["Does MiniMax-M2 fit on GB10?", "Can I run MiniMax-M2 on GB10?", "Can GB10 run MiniMax-M2?", "Does NVFP4 fit on GB10?"],
   ["It depends on the format. In NVFP4 it needs 139.9 GB and does not fit, but a file with about 3.5 bits per weight fits.",
    "Not in NVFP4, because 139.9 GB are more than the pool of 128 GB. A smaller format of about 100 GB fits."]),
  (["How much memory does GB10 have?", "How much memory is usable on GB10?"],
   ["GB10 has 128 GB of unified memory. A program sees about 120 GiB of it.",
    "It has 128 GB, and a program sees about 120 GiB. Leave a few GiB for the system."]),
 ])

topic("minimax",
 open=[
  "MiniMax-M2 is a large mixture of experts.",
  "MiniMax-M2 is large in memory and small in traffic.",
 ],
 body=[
  "MiniMax-M2 has 62 layers with 256 experts in each layer.",
  "Its hidden size is 3072, and its vocabulary has 200064 tokens.",
  "It has 48 query heads and 8 key heads of size 128.",
  "For each token the router takes 8 of 256 experts.",
  "The router uses a sigmoid and a bias for the selection.",
  "It has 228.7 billion weights, and about 10 billion are active per token.",
  "More than 98 percent of its weights are in the experts.",
  "Queries and keys are normalized over their whole width before the heads are split.",
  "At 16 bits per value its cache needs 248 KiB per token.",
  "In NVFP4 its weights need 139.9 GB.",
  "At 4.5 bits per weight all its weights need about 129 GB.",
  "The demo model has the same graph with four layers and eight experts.",
 ],
 close=[
  "So its speed follows from 10 billion weights, and its size from 229 billion.",
  "It needs a machine with much memory.",
 ],
 qa=[
  (["What is MiniMax-M2?", "Tell me about MiniMax-M2.", "How large is MiniMax-M2?", "How many experts does MiniMax-M2 have?"],
   ["MiniMax-M2 is a mixture of experts with 228.7 billion weights. About 10 billion of them are active per token.",
    "It has 62 layers with 256 experts each, and 8 experts are used per token. In all it has 228.7 billion weights."]),
  (["How much memory does MiniMax-M2 need?", "How big is MiniMax-M2 in NVFP4?"],
   ["In NVFP4 it needs 139.9 GB, and in a format of about 3.5 bits it needs about 100 GB. The cache comes on top.",
    "It needs 139.9 GB in NVFP4. Smaller formats need about 100 GB, and the KV cache comes on top."]),
 ])

topic("buying",
 open=[
  "Before you buy a machine, write down which model you want to run.",
  "A machine for language models needs capacity and bandwidth.",
  "Price lists show the compute rate first, but for one user it is the least important number.",
 ],
 body=[
  "First check whether the model fits, and then divide the bandwidth by the bytes per token.",
  "For a dense model look for bandwidth, and for a mixture of experts look for capacity.",
  "A graphics card is fast but small.",
  "A machine with unified memory is large but slower than a card.",
  "A server with many memory channels is large and fairly fast, and it is expensive.",
  "For long prompts the compute rate counts as well.",
  "A second stick of memory in the second channel doubles the bandwidth of a desktop.",
  "More than about ten tokens per second is faster than most people read.",
  "Rent a machine for an hour and measure it before you buy it.",
  "A cheap card with fast memory can beat a new processor at decode.",
 ],
 close=[
  "So buy bytes per second, and not operations per second.",
  "Predict first, buy later and measure at the end.",
 ],
 qa=[
  (["Which machine should I buy?", "What should I buy?", "What hardware do I need?", "Which computer is best for language models?", "What is the best machine?"],
   ["First check whether your model fits, and then divide the bandwidth by the bytes per token. Choose the machine whose speed is enough for you.",
    "For a dense model look for bandwidth, and for a mixture of experts look for capacity. Check the fit before you buy."]),
  (["Do I need more memory or faster memory?", "Should I buy more memory?", "Is more memory faster?", "What matters more, capacity or bandwidth?"],
   ["If the model does not fit, you need more memory. If it fits and is slow, you need faster memory.",
    "More memory lets a larger model fit, but it does not make it faster. Speed comes from bandwidth."]),
  (["Do I need a graphics card?", "Can I run a model without a graphics card?", "Can I run a model on a processor?"],
   ["No, a processor can run a model too. The memory of a graphics card is faster, so decode is faster there.",
    "A processor is enough if its memory is fast enough for you. Decode speed follows the bandwidth in both cases."]),
 ])

topic("advice",
 open=[
  "When a model is slow, find out which limit it meets.",
  "There are only a few ways to make a model faster.",
  "Slow decode has a few common causes.",
 ],
 body=[
  "Compare the measured speed with the ceiling of the memory.",
  "If the speed is close to the ceiling, only fewer bytes or faster memory help.",
  "If the speed is far below the ceiling, look at the software.",
  "A model that is partly on a disk is very slow.",
  "Two memory sticks in one channel give only half of the bandwidth.",
  "A smaller format is the simplest way to more speed.",
  "A model with fewer active weights is faster than a dense one of the same size.",
  "A shorter context makes each step cheaper.",
  "A wrong number of threads can halve the speed.",
  "Close other programs that use the memory.",
 ],
 close=[
  "So measure, compare with the ceiling and change one thing at a time.",
  "Change one thing, measure again and write it down.",
 ],
 qa=[
  (["Why is my model slow?", "Why is my model so slow?", "My model is slow.", "Why is it so slow?", "What makes a model slow?", "Why do I get so few tokens per second?"],
   ["Most likely the memory is the limit. Compare your speed with the bandwidth divided by the bytes per token.",
    "Decode reads all active weights for every token, so the memory sets the speed. If you are far below that ceiling, look at the software."]),
  (["How can I make my model faster?", "How do I make decode faster?", "How do I speed up my model?", "What can I do to get more speed?", "Make it faster."],
   ["Use a smaller format, a model with fewer active weights, or faster memory. A draft model may help as well.",
    "Read fewer bytes per token or use faster memory. A smaller format is the simplest way."]),
  (["What is a good speed?", "How many tokens per second are enough?", "Is ten tokens per second good?"],
   ["About ten tokens per second is faster than most people read. A good engine reaches 80 percent of the ceiling or more.",
    "More than ten tokens per second is comfortable to read. Compare it with the ceiling to judge the engine."]),
  (["Which format should I use?", "What is the best format?", "Which quantization is best?", "Is Q4 or Q8 better?"],
   ["About 4.5 bits per weight is a good choice for most models. Use more bits if there is room and fewer only if you must.",
    "Take the largest format that fits and is fast enough. Four to five bits are usually fine."]),
 ])

topic("sampling",
 open=[
  "At the end of a step the model gives each token a score.",
  "A model does not write words, it chooses tokens.",
  "The last part of a step is the choice of the next token.",
 ],
 body=[
  "Greedy decoding takes the token with the highest score.",
  "With the same weights and the same prompt, greedy decoding gives the same text.",
  "A high temperature makes the choice more random.",
  "A temperature of zero means greedy decoding.",
  "The scores become probabilities by a softmax.",
  "The tokenizer cuts the text into pieces, and a piece is often a word or a part of a word.",
  "An English word needs about 1.3 tokens with a large vocabulary.",
  "The model stops when it chooses the end token.",
  "The choice itself costs little time next to the matrix products.",
  "A small model may repeat itself when it decodes greedily.",
 ],
 close=[
  "Then the token is added to the context, and the next step begins.",
  "So a text grows token by token.",
 ],
 qa=[
  (["What is a token?", "What does a tokenizer do?", "What is a tokenizer?"],
   ["A token is a piece of text, often a word or a part of a word. The tokenizer cuts a text into such pieces.",
    "A tokenizer cuts a text into tokens. A token is often a word or a part of a word."]),
  (["What is greedy decoding?", "How is the next token chosen?", "What is temperature?", "What is sampling?"],
   ["Each token gets a score, and greedy decoding takes the one with the highest score. A higher temperature makes the choice more random.",
    "The scores become probabilities, and one token is chosen. Greedy decoding always takes the best one."]),
  (["When does the model stop?", "What is the end token?"],
   ["The model stops when it chooses the end token or when the limit of tokens is reached.",
    "It stops at the end token."]),
 ])

GLOSSARY = [
 ("Bandwidth", "the number of bytes that a memory can deliver per second"),
 ("Capacity", "the number of bytes that a memory can hold"),
 ("Footprint", "the number of bytes that a job needs in memory"),
 ("Traffic", "the number of bytes that a job moves"),
 ("Intensity", "the number of operations per byte of traffic"),
 ("Latency", "the time from a request to its answer"),
 ("Throughput", "the number of tokens per second over all users"),
 ("Prefill", "the phase in which the prompt is processed"),
 ("Decode", "the phase in which the answer is written token by token"),
 ("Depth", "the number of tokens that are already in the context"),
 ("Step", "one forward pass of the model"),
 ("Batch", "the number of sequences that are decoded in one step"),
 ("Router", "the part of a layer that chooses the experts"),
 ("Expert", "one of many small networks in a layer, used by some of the tokens"),
 ("Ridge", "the intensity at which memory and compute limit a kernel equally"),
 ("Roofline", "a chart of the highest rate against the intensity"),
 ("Headroom", "the usable memory that is left after everything is loaded"),
 ("Ceiling", "the highest rate that a part of the machine allows"),
 ("Speed of light", "the time of a step if every ceiling were reached"),
 ("Format", "the way in which the values of a tensor are stored"),
 ("Scale", "the factor that turns the small integers of a block into weights"),
 ("Block", "a group of weights that share a scale"),
 ("Profile", "the description of a machine with the source of each number"),
 ("Calibration", "the measurement of what a machine really does"),
 ("Ledger", "the table with the bytes and the time of every operation"),
 ("KV cache", "the store of the keys and values of all earlier tokens"),
 ("Token", "a piece of text, often a word or a part of a word"),
 ("Tokenizer", "the part that cuts a text into tokens"),
 ("Context", "all the tokens that the model can see"),
 ("Head", "one of several parts of attention that work side by side"),
 ("Output head", "the matrix that turns the last vector into scores for all tokens"),
 ("Weight", "a number that was learned in training"),
 ("Active weights", "the weights that are used for one token"),
 ("TTFT", "the time from a request to its first output token"),
 ("TPOT", "the mean time per output token of one user"),
 ("GB", "1e9 bytes"),
 ("GiB", "2^30 bytes"),
 ("Unified memory", "one pool of memory that processor and graphics unit share"),
 ("Barrier", "a point at which all threads wait for each other"),
 ("Cache line", "the smallest piece that is read from memory, usually 64 bytes"),
 ("Draft model", "a small model that guesses tokens for a large one"),
 ("Dense model", "a model that uses all its weights for every token"),
]

LINKS = ["In practice, ", "Of course, ", "In addition, ", "It helps to know that ", "Note that ", "Remember that ", "It is also true that ",
         "At the same time, ", "It is worth knowing that ", "Also, "]
KEEP = ("GB10", "Q4", "Q8", "Q6", "MX", "MiniMax", "RoPE", "Strix", "KV", "GQA", "DDR", "GGUF", "TPOT", "TTFT", "MoE")

WHO = ["A student", "An engineer", "A friend of mine", "A small company", "A researcher", "A teacher", "A developer", "A hobbyist", "Our team", "A reader"]


def alternatives(text, rng):
    pattern = re.compile(r"\{([^{}]*)\}")
    while True:
        m = pattern.search(text)
        if not m:
            return text
        text = text[:m.start()] + rng.choice(m.group(1).split("|")) + text[m.end():]


def num(x):
    """A number as people write it: 89.6, 273, 1.25."""
    return ("%.4f" % x).rstrip("0").rstrip(".") if x != int(x) else str(int(x))


def rate(x):
    return num(round(x, 1)) if x < 20 else str(int(round(x)))


def cap(s):
    return s[0].upper() + s[1:]


def lower(s):
    return s if s.startswith(KEEP) or (s[:2].isalpha() and s[:2].isupper()) or not s[0].isalpha() else s[0].lower() + s[1:]


def link(sentence, rng):
    return rng.choice(LINKS) + lower(sentence)


# Small computed passages --------------------------------------------------------------------------------
def calc_decode(rng):
    name, bw, _, kind = rng.choice(MACHINES)
    if rng.random() < 0.35:
        name, bw, _, kind = MACHINES[0]
    gb = rng.choice([2, 3, 4, 5, 6, 8, 10, 20, 40])
    speed = bw / gb
    if rng.random() < 0.5:
        return alternatives("{Take|Consider|Look at} %s with %s GB/s and a model that reads %s GB per token. The ceiling is %s divided by %s, "
                            "which is about %s tokens per second." % (name, num(bw), num(gb), num(bw), num(gb), rate(speed)), rng)
    return alternatives("%s {has|offers} %s GB/s{ of bandwidth|}. {With|For} %s GB per token the ceiling is about %s tokens per second"
                        "{.|, and a real engine stays below it.}" % (cap(name), num(bw), num(gb), rate(speed)), rng)


def calc_gb10(rng):
    gb = rng.choice([2, 3, 4, 5, 6, 8, 10, 20, 40])
    return "At 273 GB/s a model that reads %d GB per token cannot be faster than %s tokens per second." % (gb, rate(273 / gb))


def calc_ms(rng):
    name, bw, _, _ = MACHINES[0] if rng.random() < 0.5 else rng.choice(MACHINES)
    gb = rng.choice([1, 2, 3, 4, 5, 6, 8, 10])
    return alternatives("Reading %s GB at %s GB/s takes {about|at least} %s milliseconds{.|, which is the speed of light for such a step on %s.}"
                        % (num(gb), num(bw), rate(gb / bw * 1e3), name), rng)


def calc_units(rng):
    gb = rng.choice([8, 16, 24, 32, 48, 64, 80, 96, 128, 192, 256, 512])
    gib = rng.choice([8, 16, 24, 32, 48, 64, 80, 96, 100, 128])
    return rng.choice(["%d GB are %.1f GiB." % (gb, gb * 1e9 / 2**30), "%d GiB are %.1f GB." % (gib, gib * 2**30 / 1e9),
                       "A file of %d GiB has %.1f GB." % (gib, gib * 2**30 / 1e9)])


def calc_kv(rng):
    layers, heads, size = rng.choice([(62, 8, 128), (32, 8, 128), (48, 4, 128), (36, 8, 64), (24, 8, 64), (80, 8, 128)])
    per = 2 * layers * heads * size * 2
    return rng.choice(["With", "For a model with"]) + \
        " %d layers, %d key heads of size %d and 2 bytes per value, a token needs %d bytes, or %d KiB, of cache." \
        % (layers, heads, size, per, per // 1024)


def calc_format(rng):
    name, n, b = rng.choice(FORMATS)
    return rng.choice(["A block of %s holds %d weights in %d bytes, so it needs %s bits per weight.",
                       "In %s, %d weights take %d bytes, which is %s bits per weight."]) % (name, n, b, num(8 * b / n))


def calc_compare(rng):
    a, b = rng.sample(MACHINES, 2)
    if a[1] < b[1]:
        a, b = b, a
    f = a[1] / b[1]
    f = "%.1f" % f if f < 10 else str(int(round(f)))
    return alternatives("%s has %s GB/s and %s has %s GB/s, so decode can be {about |}%s times as fast on the {first|former}%s"
                        % (cap(a[0]), num(a[1]), b[0], num(b[1]), f, "."), rng)


def calc_fit(rng):
    name, bw, mem, _ = rng.choice([m for m in MACHINES if m[2]])
    need = rng.choice([5, 12, 20, 40, 60, 75, 100, 120, 140, 230])
    ok = need <= 0.9 * mem
    tight = not ok and need <= mem
    verdict = "so it fits with room to spare" if need < 0.6 * mem else "so it fits" if ok else "so it is too tight" if tight else "so it does not fit"
    return "%s with %d GB of memory is asked to hold a model of %d GB, %s." % (cap(name.replace(" with 80 GB", "")), mem, need, verdict)


CALC = {"decode": [calc_decode, calc_ms], "bandwidth": [calc_compare, calc_ms, calc_decode], "units": [calc_units],
        "kvcache": [calc_kv], "quantization": [calc_format], "capacity": [calc_fit], "roofline": [calc_compare],
        "accounting": [calc_decode], "benchmarks": [calc_compare], "buying": [calc_compare, calc_fit], "advice": [calc_decode], "gb10": [calc_gb10], "calibration": [calc_ms], "experts": [calc_decode]}


def fresh(sentences, used, rng):
    """One that the document has not used yet, if there is one left."""
    s = rng.choice([x for x in sentences if x not in used] or sentences)
    used.add(s)
    return s


# Documents ----------------------------------------------------------------------------------------------
def paragraph(name, rng, used, first=True, last=False):
    t = TOPICS[name]
    out = []
    if first or rng.random() < 0.4:
        out.append(alternatives(fresh(t["open"], used, rng), rng))
    after = max((k + 1 for k, s in enumerate(t["body"]) if s in used), default=0)
    pool = [s for s in t["body"][after if len(t["body"]) - after > 1 else 0:] if s not in used]
    n = min(len(pool), rng.randint(2, 5))
    chosen = rng.sample(range(len(pool)), n)
    if rng.random() < 0.9:                       # the lists are written in a sensible order
        chosen.sort()
    for k in chosen:
        used.add(pool[k])
        s = alternatives(pool[k], rng)
        out.append(link(s, rng) if out and rng.random() < 0.12 else s)
    if name in CALC and rng.random() < 0.2:
        out.insert(rng.randint(1, max(1, len(out))), rng.choice(CALC[name])(rng))
    if last or rng.random() < 0.3:
        out.append(alternatives(fresh(t["close"], used, rng), rng))
    return " ".join(out)


def essay(rng):
    name = rng.choice(list(TOPICS))
    used = set()
    n = rng.choice([1, 1, 2, 2, 3])
    parts = [paragraph(name, rng, used, k == 0, k == n - 1) for k in range(n)]
    if rng.random() < 0.25:                      # continue with a second topic
        other = rng.choice([t for t in TOPICS if t != name])
        parts.append(paragraph(other, rng, set(), True, True))
    return "\n\n".join(parts) + END


def from_the_middle(rng):
    """Starts with a body sentence, so that the model can go on from any beginning."""
    name = rng.choice(list(TOPICS))
    used = set()
    text = paragraph(name, rng, used, first=False, last=rng.random() < 0.5)
    if rng.random() < 0.4:
        text += "\n\n" + paragraph(name, rng, used, first=False, last=True)
    return text + END


def answer(name, entry, rng):
    a = alternatives(rng.choice(entry[1]), rng)
    if name != "demo" and rng.random() < 0.3:
        a += " " + alternatives(rng.choice(TOPICS[name]["body"]), rng)
    elif name in CALC and rng.random() < 0.12:
        a += " For example: " + lower(rng.choice(CALC[name])(rng))
    return a


ARTICLE = {w: "a" for w in ("step", "batch", "router", "roofline", "ceiling", "format", "scale", "block", "profile", "token", "tokenizer", "head",
                            "weight", "barrier", "cache line", "draft model", "dense model", "KV cache", "ledger", "calibration")}
ARTICLE.update({"expert": "an", "output head": "an", "ridge": "the", "context": "the", "headroom": "the", "depth": "the", "intensity": "the",
                "footprint": "the", "traffic": "the", "speed of light": "the"})


def definition_qa(rng):
    word, text = rng.choice(GLOSSARY)
    plain = word if word in ("GB", "GiB", "TTFT", "TPOT", "KV cache") else word.lower()
    full = (ARTICLE[plain] + " " if plain in ARTICLE else "") + plain
    verb = "are" if plain == "active weights" else "is"
    q = rng.choice(["What does %s mean?", "What is meant by %s?", "Define %s.", "Please explain the word %s."]) % plain \
        if rng.random() < 0.6 else cap("what %s %s?" % (verb, full))
    return q, rng.choice(["%s %s %s." % (cap(full), verb, text), "%s %s." % ("They are" if verb == "are" else "It is", text)])


def machine_qa(rng):
    name, bw, mem, kind = rng.choice(MACHINES)
    q = rng.choice(["What is the bandwidth of %s?", "How fast is the memory of %s?", "How much bandwidth does %s have?"]) % name
    a = rng.choice(["%s has %s GB/s of memory bandwidth.", "The memory of %s delivers %s GB/s at the peak."])
    a = a % (cap(name) if a.startswith("%s") else name, num(bw))
    if mem and rng.random() < 0.5 and "80 GB" not in name:
        a += " Its memory is %s, {and it holds|with room for} {up to |}%d GB." % (kind, mem)
        a = alternatives(a, rng)
    return q, a


def calc_qa(rng):
    r = rng.random()
    if r < 0.4:
        name, bw, _, _ = MACHINES[0] if rng.random() < 0.5 else rng.choice(MACHINES)
        gb = rng.choice([2, 3, 4, 5, 6, 8, 10, 20])
        q = "How fast can a model be that reads %s GB per token on %s?" % (num(gb), name)
        return q, "%s has %s GB/s, and %s divided by %s is about %s. So the ceiling is about %s tokens per second." % (
            cap(name), num(bw), num(bw), num(gb), rate(bw / gb), rate(bw / gb))
    if r < 0.6:
        gb = rng.choice([8, 16, 24, 32, 64, 80, 96, 128, 192, 256])
        return rng.choice(["How many GiB are %d GB?", "Convert %d GB to GiB."]) % gb, "%d GB are %.1f GiB." % (gb, gb * 1e9 / 2**30)
    if r < 0.8:
        name, n, b = rng.choice(FORMATS)
        return rng.choice(["How many bits per weight does %s need?", "How large is %s?", "What is the size of %s?"]) % name, \
            "A block of %s holds %d weights in %d bytes, which is %s bits per weight." % (name, n, b, num(8 * b / n))
    a, b = rng.sample(MACHINES, 2)
    fast = a if a[1] > b[1] else b
    return "Which is faster at decode, %s or %s?" % (a[0], b[0]), \
        "%s, because it has %s GB/s and the other has %s GB/s." % (cap(fast[0]), num(fast[1]), num(min(a[1], b[1])))


def turn(name, rng):
    r = rng.random()
    if r < 0.72:
        entry = rng.choice(TOPICS[name]["qa"])
        q, a = alternatives(rng.choice(entry[0]), rng), answer(name, entry, rng)
    elif r < 0.84:
        q, a = definition_qa(rng)
    elif r < 0.92:
        q, a = machine_qa(rng)
    else:
        q, a = calc_qa(rng)
    return ask(q, rng), a


def ask(q, rng):
    """The same question as different people type it."""
    if rng.random() < 0.12:
        q = rng.choice(["Please tell me: ", "Quick question: ", "I have a question. ", "Hi, ", "Hello, ", "Okay, ", "And ", "So, ", "Sorry, ", "One more: ",
                        "Now tell me, ", "Can you help me? "]) + (q if rng.random() < 0.5 else lower(q))
    elif rng.random() < 0.12:
        q = lower(q)
    if rng.random() < 0.12:
        q = q.rstrip("?.!")
    elif rng.random() < 0.04:
        q += rng.choice([" Please be short.", " Thanks.", " Please explain.", " I do not understand it."])
    return q


def dialogue(rng):
    name = rng.choice(list(TOPICS))
    out, seen = [], set()
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        q, a = turn(name, rng)
        if q.lower() in seen:
            continue
        seen.add(q.lower())
        out.append("%s\n%s%s\n%s\n%s%s\n" % (USER, q, END, ASSISTANT, a, END))
        if rng.random() < 0.4:
            name = rng.choice(list(TOPICS))
    return "".join(out)


def long_answer(rng):
    """A dialogue in which the user asks for more than a sentence."""
    name = rng.choice([t for t in TOPICS if t not in ("demo",)])
    subject = dict(kvcache="the KV cache", experts="mixtures of experts", roofline="the roofline model", units="units", caches="caches",
                   loading="loading a model", compute="compute rates", threads="threads", speculation="speculative decoding",
                   accounting="counting bytes", energy="energy", network="using two machines", benchmarks="benchmarks",
                   bandwidth="memory bandwidth", gb10="GB10", minimax="MiniMax-M2", buying="buying a machine",
                   advice="slow models", sampling="tokens and sampling").get(name, name)
    q = rng.choice(["Tell me about %s.", "Tell me more about %s.", "Write a paragraph about %s.", "What should I know about %s?",
                    "Explain %s to me.", "Can you explain %s?", "What about %s?", "Say something about %s.", "I want to understand %s.",
                    "What do you know about %s?", "Please explain %s.", "Talk about %s.", "%s"]) % subject
    q = ask(cap(q), rng)
    return "%s\n%s%s\n%s\n%s%s\n" % (USER, q, END, ASSISTANT, paragraph(name, rng, set(), True, True), END)


def glossary(rng):
    k = rng.randint(3, 7)
    return "\n".join("%s: %s." % (w, d) for w, d in rng.sample(GLOSSARY, k)) + END


def story(rng):
    name, bw, mem, kind = rng.choice(MACHINES)
    who = rng.choice(WHO)
    pro = "We" if who == "Our team" else "They"
    gb = rng.choice([2, 3, 4, 5, 6, 8, 10])
    top = bw / gb
    share = rng.choice([60, 70, 75, 80, 85, 90])
    out = [alternatives("%s {wanted|tried|hoped} to run a language model on %s." % (who, name), rng)]
    out.append(alternatives("The memory of the machine {delivers|has} %s GB/s at the peak, and the model reads %s GB per token." % (num(bw), num(gb)), rng))
    out.append(alternatives("{So the ceiling is|That gives a ceiling of} about %s tokens per second." % rate(top), rng))
    out.append(alternatives("{%s measured|The measurement gave|The first run showed} about %s tokens per second, which is %d percent of the ceiling."
                            % (pro, rate(top * share / 100), share), rng))
    if share >= 80:
        out.append(alternatives("{That is a good result.|This is close to what the memory allows.|There is little left to win.} {Only a smaller format or faster memory would help.|To go faster, fewer bytes per token are needed.}", rng))
    else:
        out.append(alternatives("{Something else was slow.|That left room for improvement.|The memory was not the only limit.} {More threads brought it closer to the ceiling.|A newer version of the engine was faster.|The fixed cost per layer explained the rest.|Another program was using the memory at the same time.}", rng))
    if rng.random() < 0.5:
        t = rng.choice(["decode", "bandwidth", "accounting", "benchmarks", "threads"])
        out.append(alternatives(rng.choice(TOPICS[t]["close"]), rng))
    return " ".join(out) + END


def machine_card(rng):
    name, bw, mem, kind = rng.choice(MACHINES)
    out = [alternatives("%s {uses|has} %s memory{ with %s GB/s|, and its peak bandwidth is %s GB/s}." % (cap(name), kind, num(bw), num(bw)), rng)]
    if mem and "80 GB" not in name:
        out.append("It can hold up to %d GB." % mem)
    gbs = rng.sample([2, 4, 5, 8, 10, 20], 2)
    out.append("A model that reads %s GB per token cannot be faster than %s tokens per second on it." % (num(gbs[0]), rate(bw / gbs[0])))
    if rng.random() < 0.5:
        out.append("With %s GB per token the ceiling is %s tokens per second." % (num(gbs[1]), rate(bw / gbs[1])))
    out.append(alternatives(rng.choice(TOPICS[rng.choice(["decode", "bandwidth", "capacity"])]["close"]), rng))
    return " ".join(out) + END


KINDS = [(essay, 24), (from_the_middle, 12), (dialogue, 44), (long_answer, 12), (glossary, 2), (story, 4), (machine_card, 2)]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", required=True)
    ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--documents", type=int, default=6900)
    ap.add_argument("--heldout", type=float, default=0.03)
    a = ap.parse_args()
    rng = random.Random(a.seed)
    kinds, weights = zip(*KINDS)
    docs, seen = [], set()
    while len(docs) < a.documents:
        d = rng.choices(kinds, weights)[0](rng)
        if d in seen:                            # every document once, so none can be in both sets
            continue
        seen.add(d)
        docs.append(d)
    rng.shuffle(docs)
    n = int(len(docs) * a.heldout)
    os.makedirs(a.out, exist_ok=True)
    for file, part in (("heldout.txt", docs[:n]), ("train.txt", docs[n:])):
        with open(os.path.join(a.out, file), "w", encoding="ascii", newline="\n") as f:
            f.write(SEPARATOR.join(part))
        print(file, len(part), "documents", sum(map(len, part)), "characters")


if __name__ == "__main__":
    main()
