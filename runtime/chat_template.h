// The chat form of the shipped demo model only: one user turn and the start of the answer.
// Other models' Jinja templates are not interpreted; their prompts are used as they are.
//   demo_chat_prompt("What is a roofline?")
#pragma once

#include <string>
#include <string_view>

namespace bandwall {

std::string demo_chat_prompt(std::string_view user_text);

}  // namespace bandwall
