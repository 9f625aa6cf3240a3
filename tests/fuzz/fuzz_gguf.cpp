// Any bytes: parse_gguf and model_from_gguf either succeed or throw Error.
#include <cstdint>
#include <span>

#include "hwmodel/error.h"
#include "workload/gguf.h"
#include "workload/model_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bandwall;
  try {
    const GgufFile file = parse_gguf(std::as_bytes(std::span(data, size)), "fuzz.gguf");
    for (const auto& [key, value] : file.values) {
      value.as_int();
      value.as_double();
      value.as_bool();
      value.as_string();
      value.as_strings();
      value.as_ints();
      value.as_floats();
    }
    for (const GgufTensor& tensor : file.tensors) {
      if (tensor.offset + tensor.bytes > file.file_bytes) __builtin_trap();
    }
    const ModelSpec model = model_from_gguf(std::span(&file, 1));
    if (model.parameters() < 0 || model.weight_bytes() > model.file_bytes) __builtin_trap();
  } catch (const Error&) {
  }
  return 0;
}
