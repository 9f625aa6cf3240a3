#include "runtime/chat_template.h"

namespace bandwall {

std::string demo_chat_prompt(std::string_view user_text) {
  std::string prompt = "<|user|>\n";
  prompt += user_text;
  prompt += "<|end|>\n<|assistant|>\n";
  return prompt;
}

}  // namespace bandwall
