#include "reports/cli/commands.h"

namespace bandwall {

const std::vector<CommandSpec>& all_commands() {
  static const std::vector<CommandSpec> commands = {
      command_run(),       command_fit(),     command_tiles(),    command_audit(),
      command_validate(),  command_compare(), command_predict(),  command_roofline(),
      command_calibrate(), command_inspect(), command_tokenize(), command_eval(),
      command_bench(),     command_synth(),   command_show(),     command_doctor(),
      command_probe(),
  };
  return commands;
}

}  // namespace bandwall
