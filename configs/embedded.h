// The files that travel inside the program: the YAML files of configs/{machines,backends,models,
// engines,claims,validation}, measured rows (CSV) and the demo model. Names are relative to
// configs/: "machines/gb10.yaml".
#pragma once

#include <string_view>
#include <vector>

namespace bandwall {

struct EmbeddedFile {
  std::string_view name;
  std::string_view bytes;   // 64-byte aligned
};
const std::vector<EmbeddedFile>& embedded_files();
// Throws Error (Input) when this build has no file of that name.
const EmbeddedFile& embedded_file(std::string_view name);

}  // namespace bandwall
