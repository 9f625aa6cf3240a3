// Feeds every file of a corpus folder to the fuzz target, then simple mutations of each
// (truncation, byte flips at a stride), so that g++ builds exercise the same code without
// libFuzzer.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  int files = 0, inputs = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::vector<std::uint8_t> data(bytes.begin(), bytes.end());
    LLVMFuzzerTestOneInput(data.data(), data.size());
    ++files;
    ++inputs;
    const std::size_t step = data.size() / 200 + 1;
    for (std::size_t at = 0; at < data.size(); at += step) {
      LLVMFuzzerTestOneInput(data.data(), at);
      for (const int mask : {0x01, 0x80, 0xff}) {
        std::vector<std::uint8_t> changed = data;
        changed[at] ^= static_cast<std::uint8_t>(mask);
        LLVMFuzzerTestOneInput(changed.data(), changed.size());
      }
      inputs += 4;
    }
  }
  std::printf("%d corpus files, %d inputs\n", files, inputs);
  return files > 0 ? 0 : 1;
}
