// Measured rows as data: what is read, what is skipped with which reason, what is refused.
#include "configs/measurements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "hwmodel/error.h"

namespace bandwall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kHeading =
    "device,engine,backend,model,model_file_gib,quant,phase,n_tokens,depth,batch,ubatch,kv_type,"
    "flash_attn,tok_s,source\n";

MeasurementFile parsed(const std::string& rows) {
  return parse_measurements(kHeading + rows, "rows.csv");
}

TEST(Measurements, EveryColumnIsRead) {
  const MeasurementFile f = parsed(
      "GB10,llama.cpp b7941 (llama-bench),CUDA,gpt-oss-20b,11.27,MXFP4,pp,2048,4096,1,512,"
      "q8_0/q4_0,1,3782.76,\"a \"\"b\"\", c\"\n");
  ASSERT_EQ(f.rows.size(), 1u);
  EXPECT_THAT(f.skipped, IsEmpty());
  const Measurement& m = f.rows[0];
  EXPECT_EQ(m.device, "GB10");
  EXPECT_EQ(m.engine, "llama.cpp b7941 (llama-bench)");
  EXPECT_EQ(m.backend, "CUDA");
  EXPECT_EQ(m.model, "gpt-oss-20b");
  EXPECT_EQ(m.file_gib, 11.27);
  EXPECT_EQ(m.quant, "MXFP4");
  EXPECT_EQ(m.phase, MeasuredPhase::Prefill);
  EXPECT_EQ(m.n_tokens, 2048);
  EXPECT_EQ(m.depth, 4096);
  EXPECT_EQ(m.batch, 1);
  EXPECT_EQ(m.ubatch, 512);
  EXPECT_EQ(m.type_k, "q8_0");
  EXPECT_EQ(m.type_v, "q4_0");
  EXPECT_EQ(m.flash_attention, true);
  EXPECT_EQ(m.tok_s, 3782.76);
  EXPECT_EQ(m.source, "a \"b\", c");
  EXPECT_EQ(m.line, 2);
  EXPECT_EQ(test_name(m), "pp2048 @ d4096");
}

TEST(Measurements, BlankCellsStayUnknown) {
  const MeasurementFile f = parsed("GB10,Ollama,CUDA,m,,Q4_K_M,tg,,,,,,,49.7,\r\n");
  ASSERT_EQ(f.rows.size(), 1u);
  const Measurement& m = f.rows[0];
  EXPECT_EQ(m.file_gib, 0);
  EXPECT_EQ(m.n_tokens, std::nullopt);
  EXPECT_EQ(m.depth, std::nullopt);
  EXPECT_EQ(m.ubatch, std::nullopt);
  EXPECT_EQ(m.flash_attention, std::nullopt);
  EXPECT_EQ(m.type_k, "");
  EXPECT_EQ(m.batch, 1);
  EXPECT_EQ(test_name(m), "tg");
}

TEST(Measurements, ColumnsInAnyOrderAndUnknownOnesOnce) {
  const MeasurementFile f = parse_measurements(
      "tok_s,phase,modle,model,engine,device\n50,tg,x,m,e,d\n51,tg,y,m,e,d\n", "rows.csv");
  EXPECT_EQ(f.rows.size(), 2u);
  EXPECT_EQ(f.rows[1].tok_s, 51);
  EXPECT_THAT(f.notes, ElementsAre("rows.csv:1: column \"modle\" is not known (did you mean "
                                   "model?) and was not read"));
}

TEST(Measurements, MarksComeFromTheEngine) {
  EXPECT_TRUE(engine_marks("vLLM 0.26.0 (llama-benchy; aggregate)").aggregate);
  EXPECT_TRUE(engine_marks("vLLM 0.23.1rc1 + MTP3 (Marlin)").speculative);
  EXPECT_TRUE(engine_marks("vLLM + Speculative decoding").speculative);
  EXPECT_TRUE(engine_marks("vLLM 0.19 Marlin, enforce-eager (approx.)").eager);
  EXPECT_TRUE(engine_marks("llama-server end-to-end incl. short prompt").end_to_end);
  EXPECT_TRUE(engine_marks("ctx sweep; divides N tokens by N-1 intervals").off_by_one);
  EXPECT_EQ(engine_marks("llama.cpp b7941 (llama-bench)"), EngineMarks{});
}

std::string reason(const std::string& row) {
  const MeasurementFile f = parsed(row + "\n");
  EXPECT_THAT(f.rows, IsEmpty()) << row;
  return f.skipped.size() == 1 ? f.skipped[0].reason : "";
}

TEST(Measurements, BadRowsAreSkippedWithTheirReason) {
  EXPECT_EQ(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,,s"), "tok_s: not stated");
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,nan,s"), HasSubstr("tok_s: \"nan\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,inf,s"), HasSubstr("tok_s: \"inf\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,-3,s"), HasSubstr("tok_s: \"-3\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,0,s"), HasSubstr("tok_s: \"0\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,5 tok/s,s"), HasSubstr("tok_s:"));
  EXPECT_EQ(reason(",e,CUDA,m,,q,tg,32,0,1,,f16,1,50,s"), "device: not stated");
  EXPECT_EQ(reason("GB10,,CUDA,m,,q,tg,32,0,1,,f16,1,50,s"), "engine: not stated");
  EXPECT_EQ(reason("GB10,e,CUDA,,,q,tg,32,0,1,,f16,1,50,s"), "model: not stated");
  EXPECT_EQ(reason("GB10,e,CUDA,m,,q,,32,0,1,,f16,1,50,s"), "phase: not stated");
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,gen,32,0,1,,f16,1,50,s"), HasSubstr("neither pp nor tg"));
  EXPECT_THAT(reason("GB10,e,CUDA,m,-1,q,tg,32,0,1,,f16,1,50,s"), HasSubstr("model_file_gib"));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,0,0,1,,f16,1,50,s"), HasSubstr("n_tokens: \"0\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,3.5,0,1,,f16,1,50,s"), HasSubstr("n_tokens: \"3.5\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,-1,1,,f16,1,50,s"), HasSubstr("depth: \"-1\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,0,,f16,1,50,s"), HasSubstr("batch: \"0\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,99999999999999999999,,f16,1,50,s"),
              HasSubstr("batch:"));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,x,f16,1,50,s"), HasSubstr("ubatch: \"x\""));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16/,1,50,s"), HasSubstr("kv_type"));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,a/b/c,1,50,s"), HasSubstr("kv_type"));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,maybe,50,s"), HasSubstr("flash_attn"));
  EXPECT_THAT(reason("GB10,e,CUDA,m"), HasSubstr("4 fields, the heading has 15"));
  EXPECT_THAT(reason("\"GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,50,s"), HasSubstr("quote"));
  EXPECT_THAT(reason("\"GB10\"x,e,CUDA,m,,q,tg,32,0,1,,f16,1,50,s"), HasSubstr("quote"));
}

TEST(Measurements, ContradictionsAreSkipped) {
  EXPECT_THAT(reason("GB10,e N-1 intervals,CUDA,m,,q,pp,32,0,1,,f16,1,50,s"),
              HasSubstr("a prompt has no N-1 intervals"));
  EXPECT_THAT(reason("GB10,e N-1 intervals,CUDA,m,,q,tg,1,0,1,,f16,1,50,s"),
              HasSubstr("one token has no interval"));
  EXPECT_THAT(reason("GB10,e,CUDA,m,,q,tg,32,0,1,,f16,1,2e6,s"), HasSubstr("of one sequence"));
}

TEST(Measurements, GoodRowsSurviveBadNeighbours) {
  const MeasurementFile f = parsed(
      "GB10,e,,m,,q,tg,32,0,1,,f16,1,50,s\n\nGB10,e,,m,,q,tg,32,0,1,,f16,1,x,s\n"
      "GB10,e,,m,,q,tg,32,0,1,,f16,1,51,s\n");
  ASSERT_EQ(f.rows.size(), 2u);
  EXPECT_EQ(f.rows[1].line, 5);
  ASSERT_EQ(f.skipped.size(), 1u);
  EXPECT_EQ(f.skipped[0].line, 4);
}

std::string refusal(const std::string& text) {
  try {
    parse_measurements(text, "rows.csv");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Input);
    return e.what();
  }
  return "";
}

TEST(Measurements, FilesThatAreNoMeasurementsAreRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("is empty; the first line names the columns: device,engine"));
  EXPECT_THAT(refusal("\n\n"), HasSubstr("is empty"));
  EXPECT_THAT(refusal("device,engine,model,phase\n"), HasSubstr("column tok_s is missing"));
  EXPECT_THAT(refusal("device,device,engine,model,phase,tok_s\n"), HasSubstr("stands twice"));
  EXPECT_THAT(refusal("\"device\n"), HasSubstr("a quote stays open"));
  EXPECT_THAT(refusal("{\"a\": 1}\n"), HasSubstr("column device is missing"));
  EXPECT_THROW(load_measurements("/no/such/rows.csv"), Error);
  try {
    load_measurements("gb10-vlm");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("did you mean gb10-vllm?"));
  }
}

TEST(Measurements, TheShippedFilesAreWholeAndSourced) {
  EXPECT_GE(shipped_measurements().size(), 6u);
  std::size_t rows = 0;
  for (const std::string& name : measurement_names()) {
    const MeasurementFile f = load_measurements(name);
    EXPECT_THAT(f.skipped, IsEmpty()) << name;
    EXPECT_THAT(f.notes, IsEmpty()) << name;
    for (const Measurement& m : f.rows) {
      EXPECT_GT(m.source.size(), 8u) << name << ":" << m.line;
    }
    rows += f.rows.size();
  }
  EXPECT_EQ(rows, 1331u);
}

TEST(Measurements, AFileOfOnesOwn) {
  const std::string path = testing::TempDir() + "own_rows.csv";
  std::ofstream(path) << kHeading << "gb10,llama.cpp-cuda,,m,,Q8_0,tg,32,0,1,,f16,1,50,me\n";
  const MeasurementFile f = load_measurements(path);
  EXPECT_EQ(f.name, path);
  EXPECT_EQ(f.rows.size(), 1u);
}

}  // namespace
}  // namespace bandwall
