// Where a model argument leads: a file, a folder, or a model in the stores of other programs on
// this machine. Stores are read, never written, and nothing is downloaded.
//   ModelPlace p = find_model("-hf org/name:Q4_K_M spelled hf:org/name:Q4_K_M");
// Spellings:
//   PATH                    GGUF, folder of a checkpoint or of GGUF files, config.json, *.yaml,
//                           manifest or blob of Ollama
//   hf:ORG/NAME[:QUANT]     caches of Hugging Face (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface)
//                           and llama.cpp (LLAMA_CACHE, ~/.cache/llama.cpp); also ORG/NAME alone
//   ollama:NAME[:TAG]       OLLAMA_MODELS, ~/.ollama/models, /usr/share/ollama/.ollama/models
//   lmstudio:ORG/NAME[:QUANT]  ~/.lmstudio/models, ~/.cache/lm-studio/models
//   NAME[:MIX], demo        shipped
// Error (Input) names the places looked at and what is there.
#pragma once

#include <string>

namespace bandwall {

struct ModelPlace {
  enum class Kind { Demo, Gguf, Checkpoint, Shape };
  Kind kind = Kind::Shape;
  std::string path;  // of the GGUF (first part), checkpoint or YAML file; NAME of a shipped model
  std::string mix;   // asked for after a colon, where the place does not decide it
};
ModelPlace find_model(const std::string& text);

}  // namespace bandwall
