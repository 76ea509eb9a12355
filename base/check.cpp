// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/check.hpp"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace vt {
namespace {
CheckHook g_hook = nullptr;  // process-wide by nature: a failing CHECK has no object to ask
void* g_context = nullptr;
}  // namespace

void set_check_hook(CheckHook hook, void* context) {
  g_hook = hook;
  g_context = context;
}

void check_failed(const char* expression, const char* file, int line, std::string_view note) {
  std::fprintf(stderr, "vitrine: internal error: CHECK(%s) failed at %s:%d%s%.*s\n", expression, file, line,
               note.empty() ? "" : ": ", static_cast<int>(note.size()), note.data());
  if (auto hook = std::exchange(g_hook, nullptr)) hook(g_context);
  std::fflush(nullptr);
  ::_exit(70);
}

}  // namespace vt
