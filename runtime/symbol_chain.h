// Neighbour merging, shared by the BPE and SPM encoders: a chain of symbols over one text and a
// heap of candidate pairs, best key first, then leftmost. n log n, whatever the length of the text.
//   SymbolChain chain;  chain.reset(text);  chain.add(0, 1); ...
//   chain.merge(key_of, [&](std::string_view symbol) { ... });
// key_of(left, right) gives the rank of a pair (smaller merges first), or nothing when the two do
// not merge. Texts are limited to 2^31 - 1 bytes by the caller.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace bandwall {

class SymbolChain {
 public:
  void reset(std::string_view text) {
    text_ = text;
    symbols_.clear();
    heap_.clear();
  }

  // The next symbol; symbols follow one another without gaps.
  void add(std::size_t length) {
    const auto i = static_cast<std::int32_t>(symbols_.size());
    const std::int32_t start = i == 0 ? 0 : symbols_.back().start + symbols_.back().size;
    symbols_.push_back({start, static_cast<std::int32_t>(length), i - 1, i + 1});
  }

  // Merges as long as pairs have keys, then calls out(text of symbol) from left to right.
  template <class KeyOf, class Out>
  void merge(const KeyOf& key_of, const Out& out) {
    const auto count = static_cast<std::int32_t>(symbols_.size());
    for (std::int32_t i = 0; i + 1 < count; ++i) offer(i, i + 1, key_of);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Candidate best = heap_.back();
      heap_.pop_back();
      Symbol& left = symbols_[static_cast<std::size_t>(best.left)];
      Symbol& right = symbols_[static_cast<std::size_t>(best.right)];
      // Outdated: one of the two was merged meanwhile, or grew.
      if (left.size == 0 || right.size == 0 || left.size + right.size != best.size) continue;
      left.size += right.size;
      right.size = 0;
      left.next = right.next;
      if (left.next < count) symbols_[static_cast<std::size_t>(left.next)].previous = best.left;
      if (left.previous >= 0) offer(left.previous, best.left, key_of);
      if (left.next < count) offer(best.left, left.next, key_of);
    }
    for (std::int32_t i = 0; i < count; i = symbols_[static_cast<std::size_t>(i)].next) {
      out(view(i));
    }
  }

 private:
  struct Symbol {
    std::int32_t start, size, previous, next;
  };
  struct Candidate {
    double key;
    std::int32_t left, right, size;
    bool operator<(const Candidate& other) const {  // the heap's top is its largest
      return key > other.key || (key == other.key && left > other.left);
    }
  };

  std::string_view view(std::int32_t i) const {
    const Symbol& s = symbols_[static_cast<std::size_t>(i)];
    return text_.substr(static_cast<std::size_t>(s.start), static_cast<std::size_t>(s.size));
  }

  template <class KeyOf>
  void offer(std::int32_t left, std::int32_t right, const KeyOf& key_of) {
    const std::string_view a = view(left), b = view(right);
    const std::optional<double> key = key_of(a, b);
    if (!key) return;
    heap_.push_back({*key, left, right, static_cast<std::int32_t>(a.size() + b.size())});
    std::push_heap(heap_.begin(), heap_.end());
  }

  std::string_view text_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace bandwall
