// The shipped shape that a model has, by the name its publisher gave it.
//   shape_named("unsloth_gpt-oss-20b-GGUF")               -> "gpt-oss-20b"
//   shape_named("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf") -> "llama-3.1-8b"
// Case, separators, the organisation, quantization and words such as Instruct do not matter. A
// fine-tune has the shape of its base when its name holds the base with its size
// ("ArliAI_Qwen3.5-27B-RpRMax-v1"). Sizes in the name must agree with the shape; a name that says
// the model was cut, distilled from, or has other parts (REAP, draft, Omni) is known only if a
// shape lists it. Nothing is returned when unsure. Names of a shape: its own and its `aliases`.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bandwall {

std::optional<std::string> shape_named(std::string_view published);

}  // namespace bandwall
