// The files that travel inside the program: configs/{machines,backends,models,claims}/*.yaml and the demo
// model. Names are relative to configs/ ("machines/gb10.yaml", "demo/demo.gguf").
#pragma once

#include <string_view>
#include <vector>

namespace bandwall {

struct EmbeddedFile {
  std::string_view name;
  std::string_view bytes;   // 64-byte aligned
};
const std::vector<EmbeddedFile>& embedded_files();

}  // namespace bandwall
