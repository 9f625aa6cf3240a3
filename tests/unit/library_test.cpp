#include "configs/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "configs/embedded.h"
#include "hwmodel/error.h"

namespace bandwall {
namespace {

using testing::Contains;
using testing::HasSubstr;

template <class Act>
std::string why(Act act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Input);
    return error.what();
  }
  return "accepted";
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out(text);
  const std::size_t at = out.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return out.replace(at, from.size(), to);
}

std::string_view shipped_text(const std::vector<ConfigText>& texts, std::string_view file) {
  for (const ConfigText& t : texts) {
    if (t.file_name == file) return t.text;
  }
  ADD_FAILURE() << "no shipped file " << file;
  return {};
}

TEST(Library, ShipsTheNamedData) {
  for (const char* name : {"gb10", "b200", "rtx-5090", "strix-halo", "m3-ultra", "h200"}) {
    EXPECT_THAT(machine_names(), Contains(name));
  }
  for (const char* name : {"rtx-3090", "rtx-4090", "rtx-pro-6000", "h100", "h100-pcie", "a100",
                           "b300", "gb200", "thor", "m2-ultra", "m4-max", "m5-max", "epyc-9355",
                           "threadripper-7965wx", "ddr5-desktop"}) {
    EXPECT_THAT(machine_names(), Contains(name));
  }
  for (const char* name :
       {"llama.cpp-cuda", "llama.cpp-cuda-b6918", "llama.cpp-cuda-b6767", "llama.cpp-vulkan",
        "llama.cpp-rocm", "llama.cpp-metal", "llama.cpp-cpu", "vllm", "vllm-eager", "tensorrt-llm",
        "sglang", "ollama", "mlx", "bandwall-cpu"}) {
    EXPECT_THAT(backend_names(), Contains(name));
  }
  for (const char* name : {"minimax-m2.5", "gpt-oss-20b", "gpt-oss-120b", "qwen3-30b-a3b",
                           "nemotron-3-super-120b-a12b", "nemotron-3-nano-30b-a3b",
                           "qwen3-next-80b-a3b", "llama-3.1-8b"}) {
    EXPECT_THAT(model_names(), Contains(name));
  }
}

TEST(Library, EmbedsEveryFileOfTheFolders) {
  std::size_t on_disk = 0;
  for (const char* folder : {"machines", "backends", "models"}) {
    const auto path = std::filesystem::path(BANDWALL_SOURCE_DIR) / "configs" / folder;
    for (const auto& file : std::filesystem::directory_iterator(path)) {
      on_disk += file.path().extension() == ".yaml";
    }
  }
  EXPECT_EQ(shipped_machines().size() + shipped_backends().size() + shipped_models().size(),
            on_disk);
}

TEST(Library, EveryMachineLoadsUnderItsFileNameAndWritesBack) {
  for (const std::string& name : machine_names()) {
    const Machine m = load_machine(name);
    EXPECT_EQ(m.name, name);
    EXPECT_FALSE(m.title.empty()) << name;
    EXPECT_THAT(backend_names(), Contains(m.default_backend)) << name;
    EXPECT_EQ(parse_machine(write_machine(m), name), m);
  }
}

TEST(Library, EveryBackendLoadsUnderItsFileNameAndWritesBack) {
  for (const std::string& name : backend_names()) {
    const Backend b = load_backend(name);
    EXPECT_EQ(b.name, name);
    EXPECT_FALSE(b.title.empty() || b.version.empty()) << name;
    if (!b.machine.empty()) {
      EXPECT_THAT(machine_names(), Contains(b.machine)) << name;
    }
    EXPECT_EQ(parse_backend(write_backend(b), name), b);
  }
}

TEST(Library, EveryShapeHasThePublishedParametersAndMixes) {
  for (const std::string& name : model_names()) {
    const ModelShape shape = load_model_shape(name);
    EXPECT_EQ(shape.name, name);
    EXPECT_GT(shape.published_parameters, 0) << name;
    const ModelSpec model = model_from_shape(shape, shape.default_mix);
    EXPECT_EQ(model.parameters(), shape.published_parameters) << name;
    for (const PublishedMix& mix : shape.published) {
      const ModelSpec m = model_from_shape(shape, mix.name);
      EXPECT_FALSE(mix.note.empty()) << m.name;
      if (mix.file_bytes > 0) {
        EXPECT_EQ(m.weight_bytes(), mix.file_bytes) << m.name;
      }
    }
  }
}

TEST(Library, SizesEqualThePublishedOnes) {
  const auto size = [](const char* name, const char* mix) {
    return model_from_shape(load_model_shape(name), mix).weight_bytes();
  };
  const auto gib = [&](const char* name, const char* mix) { return size(name, mix) / kGiB; };
  EXPECT_EQ(size("minimax-m2.5", "NVFP4"), 139'862'328'320);
  EXPECT_EQ(size("minimax-m2.5", "FP8"), 230'024'081'408);
  EXPECT_NEAR(gib("minimax-m2.5", "UD-Q3_K_XL"), 94.93, 0.005);
  EXPECT_NEAR(gib("minimax-m2.5", "Q3_K_M"), 101.76, 0.005);
  EXPECT_EQ(size("nemotron-3-super-120b-a12b", "NVFP4"), 80'297'000'960);
  EXPECT_EQ(size("minimax-m2.5", "checkpoint-BF16"), 457'379'529'728);
  EXPECT_EQ(size("minimax-m2.5", "NVFP4-BF16"), 134'401'344'512);
  EXPECT_EQ(size("minimax-m2.5", "NVFP4-all"), 130'476'262'400);
  EXPECT_EQ(size("nemotron-3-nano-30b-a3b", "NVFP4"), 19'339'733'888);
  EXPECT_EQ(size("nemotron-3-nano-30b-a3b", "IQ4_XS-published"), 18'161'059'584);
  EXPECT_EQ(size("nemotron-3-super-120b-a12b", "UD-IQ4_XS"), 64'476'770'304);
  EXPECT_EQ(size("glm-5", "NVFP4"), 460'816'669'184);
  EXPECT_EQ(size("kimi-k2.5", "NVFP4"), 590'850'735'131);
  EXPECT_EQ(std::ceil(gib("minimax-m2.5-reap-172b", "NVFP4")), 93);  // du -h: 93G and 162G
  EXPECT_EQ(std::ceil(gib("minimax-m2.5-reap-172b", "FP8")), 162);
  EXPECT_NEAR(gib("nemotron-3-nano-30b-a3b", "Q4_K_M"), 22.82, 0.005);
  EXPECT_NEAR(gib("gpt-oss-120b", "MXFP4_MOE"), 59.02, 0.005);
  EXPECT_NEAR(gib("gpt-oss-120b", "MXFP4-BF16"), 60.87, 0.005);
  EXPECT_NEAR(gib("gpt-oss-20b", "MXFP4_MOE"), 11.27, 0.005);
  EXPECT_NEAR(gib("gpt-oss-20b", "MXFP4-BF16"), 12.83, 0.005);
  EXPECT_NEAR(gib("qwen3-30b-a3b", "BF16"), 56.89, 0.005);
  EXPECT_NEAR(gib("llama-3.1-8b", "Q4_K_M"), 4.58, 0.005);
  // As llama-bench prints model_size: two digits.
  EXPECT_NEAR(gib("gemma-4-31b", "BF16"), 57.18, 0.005);
  EXPECT_NEAR(gib("gemma-3-4b", "QAT-Q4_0"), 2.35, 0.005);
  EXPECT_NEAR(gib("glm-4.7-flash", "Q8_0"), 29.65, 0.005);
  EXPECT_NEAR(gib("nemotron-3-nano-4b", "Q8_0"), 3.94, 0.005);
  EXPECT_NEAR(gib("qwen3.6-27b", "Q8_0"), 27.04, 0.005);  // with its block of prediction
  EXPECT_NEAR(gib("qwen3-32b", "Q8_0"), 32.42, 0.005);
  EXPECT_NEAR(gib("llama-2-7b", "Q4_0"), 3.56, 0.005);
  EXPECT_NEAR(gib("llama-2-7b", "Q4_K_M"), 3.80, 0.005);
  EXPECT_NEAR(gib("llama-3.3-70b", "Q4_K_M"), 39.59, 0.005);
  EXPECT_NEAR(size("granite-4.1-30b", "Q5_K_M") / 1e9, 20.49, 0.005);
  EXPECT_NEAR(size("granite-4.1-8b", "Q6_K") / 1e9, 7.22, 0.01);
}

TEST(Library, EveryShapeWritesBack) {
  for (const std::string& name : model_names()) {
    const ModelShape shape = load_model_shape(name);
    const ModelShape again = parse_model_shape(write_model_shape(shape, "a \"note\"\n"), "w.yaml");
    EXPECT_EQ(again.name, name);
    EXPECT_EQ(again.architecture, shape.architecture);
    EXPECT_EQ(again.published_parameters, shape.published_parameters) << name;
    EXPECT_NEAR(again.hyper.attention_scale, shape.hyper.attention_scale, 1e-12) << name;
    EXPECT_NEAR(again.hyper.yarn_attn_factor, shape.hyper.yarn_attn_factor, 1e-12) << name;
    Hyper hyper = again.hyper;  // their last digits may differ
    hyper.attention_scale = shape.hyper.attention_scale;
    hyper.yarn_attn_factor = shape.hyper.yarn_attn_factor;
    EXPECT_TRUE(hyper == shape.hyper) << name;
  }
}

TEST(Library, ModelsOfTheSameShapeHaveTheirNames) {
  EXPECT_EQ(load_model_shape("minimax-m2.7").name, "minimax-m2.5");
  EXPECT_EQ(load_model_shape("deepseek-r1").name, "deepseek-v3");
  EXPECT_EQ(load_model_shape("glm-4.5").name, "glm-4.6");
}

TEST(Library, KnowsTheCapacityOfTheGb10) {
  const Machine m = load_machine("gb10");
  EXPECT_EQ(m.pool().visible.value.count(), 124610LL * 1024 * 1024);
  EXPECT_NEAR(m.pool().usable().value() / kGiB, 116.7, 0.1);
  EXPECT_EQ(m.kernel_limits->shared_per_block.value.count(), 101376);
  EXPECT_EQ(m.rate("bf16")->peak.value.value(), 107e12);
  EXPECT_EQ(m.rate("fp2"), nullptr);
  EXPECT_EQ(m.link("carrier-pigeon"), nullptr);
}

TEST(Library, JoinsSeveralDevicesByTheirLink) {
  const Machine two = load_machine("2xgb10");
  EXPECT_EQ(two.name, "2xgb10");
  EXPECT_EQ(two.devices, 2);
  EXPECT_EQ(*two.device_link, "connectx-7");
  EXPECT_EQ(load_machine("64xgb10").devices, 64);
  EXPECT_EQ(parse_machine(write_machine(two), "two"), two);
  EXPECT_THAT(why([] { load_machine("2xrtx-5090"); }), HasSubstr("names no device_link"));
  for (const char* name : {"1xgb10", "0xgb10", "65xgb10", "999999xgb10"}) {
    EXPECT_THAT(why([&] { load_machine(name); }), HasSubstr("must be 2 to 64")) << name;
  }
  EXPECT_THAT(why([] { load_machine("2xgb11"); }), HasSubstr("did you mean gb10?"));
  EXPECT_THAT(why([] { load_machine("8x8xgb10"); }), HasSubstr("no machine of this name"));
}

TEST(Library, RefusesUnknownNamesAndUnreadableFiles) {
  EXPECT_THAT(why([] { load_machine("gb100"); }), HasSubstr("did you mean gb10?"));
  EXPECT_THAT(why([] { load_backend("llama.cpp-cude"); }), HasSubstr("llama.cpp-cuda?"));
  EXPECT_THAT(why([] { load_model_shape("minimax"); }), HasSubstr(", gpt-oss-120b, "));
  EXPECT_THAT(why([] { load_machine(""); }), HasSubstr("no machine of this name"));
  EXPECT_THAT(why([] { load_machine("absent/file.yaml"); }), HasSubstr("cannot be read"));
  EXPECT_THAT(why([] { load_machine("/"); }), HasSubstr("/"));
}

TEST(Library, ReadsAFileOfTheUser) {
  const auto path = std::filesystem::temp_directory_path() / "bandwall_library_test.yaml";
  std::ofstream(path) << replaced(shipped_text(shipped_machines(), "gb10.yaml"), "name: gb10",
                                  "name: mine");
  EXPECT_EQ(load_machine(path.string()).name, "mine");
  std::filesystem::remove(path);
}

TEST(Library, RefusesFilesThatContradictThemselves) {
  const std::string_view gb10 = shipped_text(shipped_machines(), "gb10.yaml");
  const auto machine = [&](std::string_view from, std::string_view to) {
    return why([&] { parse_machine(replaced(gb10, from, to), "m.yaml"); });
  };
  EXPECT_THAT(machine("schema: 1", "schema: 2"), HasSubstr("m.yaml:2:1: schema: 2 is not"));
  EXPECT_THAT(machine("schema: 1\n", ""), HasSubstr("schema: missing"));
  EXPECT_THAT(machine("name: gb10", "name: GB 10"), HasSubstr("name: may hold small letters"));
  EXPECT_THAT(machine("numeric: fp4", "numeric: bf17"), HasSubstr("did you mean bf16?"));
  EXPECT_THAT(machine("numeric: fp4", "numeric: fp8"), HasSubstr("stands twice"));
  EXPECT_THAT(machine("\"5 GiB\"", "\"500 GiB\""), HasSubstr("leaves nothing usable"));
  EXPECT_THAT(machine("\"128 GB\"", "\"12 GB\""), HasSubstr("more than installed"));
  EXPECT_THAT(machine("\"231 GB/s\"", "\"2310 GB/s\""), HasSubstr("above the peak"));
  EXPECT_THAT(machine("device_link: connectx-7", "device_link: usb"), HasSubstr("none of links"));
  EXPECT_THAT(machine("kernel_limits:", "kernel_limit:"), HasSubstr("mean kernel_limits?"));
  EXPECT_THAT(machine("capability: \"12.1\"", "capability: \"12.11\""),
              HasSubstr("compute_capability: \"12.11\" is unknown; did you mean 12.1?"));

  const std::string_view cuda = shipped_text(shipped_backends(), "llama.cpp-cuda.yaml");
  const auto backend = [&](std::string_view from, std::string_view to) {
    return why([&] { parse_backend(replaced(cuda, from, to), "b.yaml"); });
  };
  EXPECT_THAT(backend("  Q4_K:", "  Q4K:"), HasSubstr("stream.Q4K: \"Q4K\" is unknown; did you"));
  EXPECT_THAT(backend("machine: gb10\n", ""), HasSubstr("calibrated: figures measured on a mach"));
  EXPECT_THAT(backend("value: 0.85", "value: 1.85"), HasSubstr("above 0 and at most 1"));

  const std::string_view m25 = shipped_text(shipped_models(), "minimax-m2.5.yaml");
  const auto model = [&](std::string_view from, std::string_view to) {
    return why([&] { parse_model_shape(replaced(m25, from, to), "s.yaml"); });
  };
  EXPECT_THAT(model("layers: 62", "layers: 0"), HasSubstr("hyper.layers: 0 is outside 1..1024"));
  EXPECT_THAT(model("kv_heads: 8", "kv_heads: 7"), HasSubstr("7 does not divide heads, 48"));
  EXPECT_THAT(model("experts_used: 8", "experts_used: 300"), HasSubstr("300 is outside 1..256"));
  EXPECT_THAT(model("NVFP4_ST", "NVFP4_SD"), HasSubstr("did you mean NVFP4_ST?"));
  EXPECT_THAT(model("default_mix: UD-Q3_K_XL", "default_mix: UD-Q3_K_XM"),
              HasSubstr("did you mean UD-Q3_K_XL?"));
}

TEST(Library, KeepsAProfileOfBoth) {
  ProfileFile p{
      load_machine("gb10"), load_backend("llama.cpp-cuda"), {}, "2026-11-21", "cpu \"x\"", 0.031};
  p.machine.name = "this";
  for (const int threads : {1, 4}) {
    p.other_threads.push_back(p.backend);
    p.other_threads.back().threads = threads;
  }
  const std::string text = write_profile_file(p);
  EXPECT_EQ(parse_profile_file(text, "p.yaml"), p);
  EXPECT_EQ(parse_machine(text, "p.yaml"), p.machine);
  EXPECT_EQ(parse_backend(text, "p.yaml"), p.backend);
}

TEST(Library, AChangedProfileIsRefusedOneWithoutAHashIsNot) {
  const ProfileFile p{load_machine("gb10"), load_backend("bandwall-cpu"), {}, "2026-11-21", "x", 0};
  const std::string text = write_profile_file(p);
  const std::string hash = profile_hash(text);
  EXPECT_NE(text.find("hash: \"" + hash + "\"\n"), std::string::npos);
  const auto said = [](const std::string& changed) -> std::string {
    try {
      parse_profile_file(changed, "p.yaml");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  std::string edited = text;
  edited.replace(edited.find("2026-11-21"), 10, "2026-11-22");
  EXPECT_THAT(said(edited), HasSubstr("was changed after it was measured"));
  EXPECT_NE(profile_hash(edited), hash);
  edited.erase(edited.find("hash: "));
  EXPECT_EQ(said(edited), "");
}

TEST(BackendFor, LeavesItsOwnMachineAlone) {
  const Backend b = load_backend("llama.cpp-cuda");
  EXPECT_EQ(backend_for(b, load_machine("gb10")), b);
  EXPECT_EQ(backend_for(b, load_machine("2xgb10")), b);
  const Backend cpu = load_backend("bandwall-cpu");
  EXPECT_EQ(backend_for(cpu, load_machine("rtx-5090")), cpu);
}

TEST(BackendFor, ScalesToAnotherMachine) {
  const Backend b = load_backend("llama.cpp-cuda");
  const Machine m = load_machine("rtx-5090");
  const Backend borrowed = backend_for(b, m);
  EXPECT_FALSE(borrowed.calibrated);
  EXPECT_NEAR(borrowed.stream.at("Q8_0").value.value(), 1523e9, 1e9);
  EXPECT_NEAR(borrowed.kv_stream.at("f16").value.value(), 190e9 * 1523 / 231, 1e6);
  EXPECT_NEAR(borrowed.gemm.at("default").value.rate.value(), 35e12 * 253 / 107, 1e6);
  EXPECT_NEAR(borrowed.kv_elements.at("q8_0").value.value(), 3e11 * 253 / 107, 1e3);
  EXPECT_EQ(borrowed.op_seconds.at("attention").value, b.op_seconds.at("attention").value);
  EXPECT_EQ(borrowed.stream.at("Q8_0").source.kind, Source::Kind::Derived);
  EXPECT_THAT(borrowed.stream.at("Q8_0").source.note, HasSubstr("borrowed from gb10"));
  for (const std::string& name : machine_names()) {
    const Machine any = load_machine(name);
    for (const auto& [format, rate] : backend_for(b, any).stream) {
      EXPECT_LE(rate.value, any.pool().achievable.value * (1 + 1e-9)) << name << " " << format;
    }
  }
}

TEST(BackendFor, BorrowingAgainChangesNothing) {
  const Backend b = load_backend("llama.cpp-cuda");
  for (const std::string& name : machine_names()) {
    const Machine m = load_machine(name);
    const Backend once = backend_for(b, m);
    EXPECT_EQ(backend_for(once, m), once) << name;
  }
}

TEST(BackendFor, LeavesOutWhatItCannotScale) {
  const Backend b = load_backend("llama.cpp-cuda");
  const Backend server = backend_for(b, load_machine("epyc-9355"));  // bf16 rate unknown
  EXPECT_TRUE(server.gemm.empty());
  EXPECT_FALSE(server.attention_rate);
  EXPECT_FALSE(server.stream.empty());
  Backend unknown = b;
  unknown.reference_bandwidth.reset();
  EXPECT_TRUE(backend_for(unknown, load_machine("h200")).stream.empty());
}

}  // namespace
}  // namespace bandwall
