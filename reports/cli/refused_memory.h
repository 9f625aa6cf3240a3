// std::bad_alloc does not say how much was asked for; the program's operator new keeps it.
#pragma once

#include <cstddef>

namespace bandwall {

std::size_t refused_bytes();  // of the last allocation that failed; 0: none did

}  // namespace bandwall
