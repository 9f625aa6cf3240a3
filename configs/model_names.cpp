#include "configs/model_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "configs/library.h"

namespace bandwall {
namespace {

constexpr std::size_t kMostLetters = 400;

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return c >= 'a' && c <= 'z'; }

template <std::size_t N>
bool one_of(std::string_view text, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// Say nothing about the shape: how it was trained to answer, who packed it, how it is stored.
constexpr std::array<std::string_view, 46> kNeutral = {
    "instruct",   "it",        "chat",        "base",        "pt",        "gguf",      "hf",
    "thinking",   "reasoning", "qat",         "ud",          "mlx",       "awq",       "gptq",
    "imatrix",    "dynamic",   "unsloth",     "bartowski",   "lmstudio",  "community", "ggml",
    "org",        "nvidia",    "google",      "meta",        "mistralai", "openai",    "zai",
    "ai",         "minimaxai", "moonshotai",  "redhatai",    "deepseek",  "qwen",      "microsoft",
    "ibm",        "bnb",       "modelopt",    "safetensors", "latest",    "cloud",     "quantized",
    "uncensored", "kwaipilot", "abliterated", "heretic"};
// Say that the shape is another one, or may be.
constexpr std::array<std::string_view, 37> kOther = {
    "reap",   "pruned",   "prune",  "draft",    "distill", "distilled", "embedding", "embed",
    "rerank", "reranker", "reward", "guard",    "vl",      "vision",    "omni",      "audio",
    "asr",    "tts",      "ocr",    "eagle",    "eagle3",  "dflash",    "lora",      "adapter",
    "moe",    "merge",    "merged", "mtp",      "lite",    "mini",      "nano",      "tiny",
    "flash",  "next",     "air",    "upscaled", "expanded"};
// Follow the name of a format: Q4_K_M, UD-IQ3_XXS, MXFP4_MOE.
constexpr std::array<std::string_view, 12> kFormatEnds = {"k",   "m",  "s", "l", "xl",  "xs",
                                                          "xxs", "nl", "0", "1", "moe", "p"};

// q4, iq3, tq1, fp8, bf16, int4, nvfp4, mxfp4, w4a16, nf4, 8bit.
bool is_format(std::string_view piece) {
  if (piece.ends_with("bit")) return true;
  for (const std::string_view start :
       {"nvfp", "mxfp", "bf", "fp", "int", "nf", "tq", "iq", "q", "f"}) {
    if (!piece.starts_with(start)) continue;
    const std::string_view rest = piece.substr(start.size());
    return !rest.empty() && rest.size() <= 2 && std::all_of(rest.begin(), rest.end(), digit);
  }
  return piece.size() >= 4 && piece[0] == 'w' && digit(piece[1]) && piece[2] == 'a' &&
         digit(piece[3]);
}

// 27b, 1.7b, 270m, 1t; a3b: active; e4b: effective; 8x7b; 16e: experts.
bool is_size(std::string_view piece) {
  if (piece.size() < 2) return false;
  const char unit = piece.back();
  if (unit != 'b' && unit != 'm' && unit != 't' && unit != 'e') return false;
  std::string_view number = piece.substr(0, piece.size() - 1);
  if (number.front() == 'a' || number.front() == 'e') number.remove_prefix(1);
  const auto counts = [](char c) { return digit(c) || c == '.' || c == 'x'; };
  return !number.empty() && digit(number.front()) && digit(number.back()) &&
         std::all_of(number.begin(), number.end(), counts);
}

struct Part {
  std::string text;
  bool size = false;
  friend bool operator==(const Part&, const Part&) = default;
};
using Parts = std::vector<Part>;

// "qwen3.5" is qwen, 3.5; two digits behind letters are a version: "llama33" is llama, 3.3. Dates
// and serial numbers (2507) are left out, and so is "moe" behind a version, where llama-bench
// writes its own names of architectures ("qwen3moe 30B.A3B").
void add_words(std::string_view piece, Parts& parts) {
  for (std::size_t i = 0; i < piece.size();) {
    const bool word = letter(piece[i]);
    const std::size_t begin = i;
    while (i < piece.size() && letter(piece[i]) == word) ++i;
    std::string text(piece.substr(begin, i - begin));
    while (!text.empty() && text.back() == '.') text.pop_back();
    if (text.empty() || text.front() == '.') continue;
    const bool whole = text.find('.') == std::string::npos;
    if (!word && whole && text.size() >= 4) continue;
    if (word && begin > 0 && text == "moe") continue;
    if (!word && whole && text.size() == 2 && begin > 0) text.insert(1, ".");
    parts.push_back({std::move(text)});
  }
}

std::string_view without_folders(std::string_view name) {
  const std::size_t slash = name.find_last_of("/\\");
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  for (const std::string_view ending : {".gguf", ".GGUF", ".safetensors"}) {
    if (name.ends_with(ending)) name.remove_suffix(ending.size());
  }
  return name;
}

Parts parts_of(std::string_view name) {
  Parts parts;
  if (name.size() > kMostLetters) return parts;
  std::string piece;
  bool format = false;
  const auto end_piece = [&] {
    const bool ends_format = format && one_of(piece, kFormatEnds);
    format = ends_format || is_format(piece);
    if (!piece.empty() && !format) {
      if (is_size(piece)) {
        parts.push_back({piece, true});
      } else {
        add_words(piece, parts);
      }
    }
    piece.clear();
  };
  const std::string_view own = without_folders(name);
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (std::size_t i = 0; i < own.size(); ++i) {
    const char c = lower(own[i]);
    // A point parts words ("30B.A3B", "Instruct.Q4_K_M") unless a number goes on behind it.
    const bool goes_on = c == '.' && i + 1 < own.size() && digit(own[i + 1]);
    if (letter(c) || digit(c) || goes_on) {
      piece += c;
    } else {
      end_piece();
    }
  }
  end_piece();
  return parts;
}

struct Name {
  std::string shape;
  double parameters = 0;
  Parts parts;
  bool sized = false, experts = false;
};

bool is_active(const Part& part) { return part.size && part.text.front() == 'a'; }
bool names_active_size(const Name& name) {
  return std::any_of(name.parts.begin(), name.parts.end(), is_active);
}

const std::vector<Name>& known_names() {
  static const std::vector<Name> names = [] {
    std::vector<Name> all;
    for (const ConfigText& file : shipped_models()) {
      const ModelShape shape = parse_model_shape(file.text, std::string(file.file_name));
      std::vector<std::string> texts = shape.aliases;
      texts.push_back(shape.name);
      for (const std::string& text : texts) {
        Name name{shape.name, static_cast<double>(shape.published_parameters), parts_of(text)};
        name.experts = shape.hyper.experts > 0;
        const auto total = [](const Part& p) { return p.size && !is_active(p); };
        name.sized = std::any_of(name.parts.begin(), name.parts.end(), total);
        all.push_back(std::move(name));
      }
    }
    return all;
  }();
  return names;
}

// Billions in "671b" or "1t", 0 when the text is none.
double billions(std::string_view size) {
  const double unit = size.back() == 'b' ? 1 : size.back() == 't' ? 1000 : 0.001;
  double value = 0;
  const auto [end, code] = std::from_chars(size.data(), size.data() + size.size() - 1, value);
  return code == std::errc() && end == size.data() + size.size() - 1 ? value * unit : 0;
}

// What the name says beside the known part must not speak against it.
bool agrees(const Part& part, const Name& known) {
  if (part.size) {
    if (std::find(known.parts.begin(), known.parts.end(), part) != known.parts.end()) return true;
    if (is_active(part)) return known.experts && !names_active_size(known);
    const double said =
        digit(part.text.front()) && part.text.back() != 'e' ? billions(part.text) : 0;
    return !known.sized && said > 0 && std::fabs(said * 1e9 / known.parameters - 1) < 0.06;
  }
  if (one_of(part.text, kOther)) return false;
  return known.sized || one_of(part.text, kNeutral);
}

// Where the parts of a known name stand together, and how many of them; 0 when they do not. The
// active size at the end may be left out.
struct Place {
  std::size_t at = 0, count = 0;
};
Place find_parts(const Parts& parts, const Name& known) {
  std::size_t count = known.parts.size();
  for (const bool shorter : {false, true}) {
    if (shorter && (count < 2 || !known.sized || !is_active(known.parts.back()))) break;
    count -= shorter ? 1 : 0;
    const auto end = known.parts.begin() + static_cast<std::ptrdiff_t>(count);
    const auto it = std::search(parts.begin(), parts.end(), known.parts.begin(), end);
    if (it != parts.end()) return {static_cast<std::size_t>(it - parts.begin()), count};
  }
  return {};
}

}  // namespace

std::optional<std::string> shape_named(std::string_view published) {
  const Parts parts = parts_of(published);
  struct Match {
    const Name* name;
    Place place;
  };
  std::vector<Match> matches;
  for (const Name& known : known_names()) {
    const Place place = find_parts(parts, known);
    if (place.count == 0) continue;
    bool agreed = true;
    for (std::size_t i = 0; i < parts.size() && agreed; ++i) {
      const bool inside = i >= place.at && i < place.at + place.count;
      agreed = inside || agrees(parts[i], known);
    }
    if (agreed) matches.push_back({&known, place});
  }
  if (matches.empty()) return std::nullopt;
  const Match& best = *std::max_element(matches.begin(), matches.end(), [](auto& a, auto& b) {
    return a.place.count < b.place.count;
  });
  const std::size_t end = best.place.at + best.place.count;
  for (const Match& m : matches) {
    const bool inside = m.place.at >= best.place.at && m.place.at + m.place.count <= end &&
                        m.place.count < best.place.count;
    if (!inside && m.name->shape != best.name->shape) return std::nullopt;
  }
  return best.name->shape;
}

}  // namespace bandwall
