// SPDX-License-Identifier: GPL-2.0-or-later
/// Our own bugs. CHECK is always on: a wrong answer costs the reader more than a stopped run.
/// The process ends with status 70 after `on_check_failure` (so that a run directory stays readable).
#pragma once
#include <string_view>

namespace vt {

/// Called once before the process ends; set by the command to flush what was recorded.
using CheckHook = void (*)(void* context);
void set_check_hook(CheckHook hook, void* context);

[[noreturn]] void check_failed(const char* expression, const char* file, int line, std::string_view note = {});

#define CHECK(cond, ...) \
  do { if (__builtin_expect(!(cond), 0)) ::vt::check_failed(#cond, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__); } while (0)

}  // namespace vt
