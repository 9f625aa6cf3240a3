// EngineRules: how an inference program lays out memory, as constants; memory_ledger.h of analysis
// computes with them. configs/engines/*.yaml holds them with version and source; the values here
// are those of llama.cpp, so that a fit without a named engine is one of llama.cpp.
#pragma once

#include <string>

#include "hwmodel/machine.h"

namespace bandwall {

// Slots: llama.cpp; cells of slots, buffers of a micro-batch. Blocks: vLLM, TensorRT-LLM; a pool of
// cache blocks beside the activations of a profiling run. Exact: cells and scratch as allocated.
enum class CacheLayout { Slots, Blocks, Exact };

struct EngineRules {
  std::string name = "llama.cpp", title, version;
  CacheLayout layout = CacheLayout::Slots;
  Sourced<double> cell_step = {256, {}};  // cells of a sequence are a multiple of this
  bool shared_context = true;             // the context is that of all slots together
  bool table_on_host = true;  // the token table stays in host memory, a tied head is a copy of it
  bool page_cache_weights = false;  // weights are used in the mapped file, nothing is copied

  // On devices, rows of quantized tensors are padded to a multiple of row_step values at their end,
  // tensors to tensor_step bytes.
  Sourced<double> row_step = {512, {}}, tensor_step = {128, {}};

  // Recurrent state of a sequence: bytes of a value; columns of the convolution beyond the
  // kernel's width - 1.
  Sourced<double> state_value_bytes = {4, {}}, state_extra_columns = {0, {}};

  // Slots, bytes for each row of a micro-batch: 4 x (vocabulary + hidden_copies x hidden) or
  // mask_bytes x cells + ffn_bytes x feed-forward width, whichever is more; in host memory
  // host_mask_bytes x cells + 4 x host_hidden_copies x hidden.
  Sourced<double> hidden_copies = {1, {}}, mask_bytes = {6, {}}, ffn_bytes = {8, {}};
  Sourced<double> host_hidden_copies = {2, {}}, host_mask_bytes = {4, {}};

  // Blocks: profiling run of batch_rows rows of 2-byte activations, ffn_copies of the feed-forward
  // width, row_copies of the hidden width, q, k and v once; batch_sequences rows of logits of
  // logit_bytes a value.
  Sourced<double> batch_rows = {0, {}}, batch_sequences = {0, {}}, ffn_copies = {0, {}};
  Sourced<double> row_copies = {0, {}}, logit_bytes = {0, {}};
  Sourced<Bytes> runtime_bytes = {Bytes(0), {}};  // context, graphs; 0: the backend's figure

  // Share of the visible memory that the program takes in all; 0: no limit of its own (vLLM).
  Sourced<double> memory_share = {0, {}};
  // Share of what is free after weights and activations that the cache gets; 0: all (TensorRT-LLM).
  Sourced<double> free_share = {0, {}};
};

}  // namespace bandwall
