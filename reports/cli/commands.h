// The commands, one function each; a command is five to eight named passes in its own file.
#pragma once

#include <vector>

#include "reports/cli/options.h"

namespace bandwall {

const std::vector<CommandSpec>& all_commands();

CommandSpec command_run();
CommandSpec command_fit();
CommandSpec command_tiles();
CommandSpec command_audit();
CommandSpec command_validate();
CommandSpec command_compare();
CommandSpec command_predict();
CommandSpec command_roofline();
CommandSpec command_calibrate();
CommandSpec command_inspect();
CommandSpec command_tokenize();
CommandSpec command_eval();
CommandSpec command_bench();
CommandSpec command_synth();
CommandSpec command_show();
CommandSpec command_doctor();
CommandSpec command_probe();

}  // namespace bandwall
