// SPDX-License-Identifier: GPL-2.0-or-later
#include "drive.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "manifest.hpp"
#include "sandbox.hpp"
#include "text.hpp"

namespace vt::cli {

double elapsed_now() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}
double user_now() {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec) + static_cast<double>(u.ru_utime.tv_usec) * 1e-6;
}

namespace {
// A signal handler has no object to ask.
emu::Machine* volatile g_running = nullptr;
volatile std::sig_atomic_t g_interrupted = 0;
void on_signal(int) {
  g_interrupted = 1;   // also seen where the machine is between two slices
  if (g_running) g_running->interrupt();
}
}  // namespace

struct SignalGuard::Old { struct sigaction on_int {}, on_term {}; };

SignalGuard::SignalGuard(emu::Machine& m) : old_(std::make_unique<Old>()) {
  sandbox::enter();   // whatever runs a machine comes by here; who needs more than a rerun does has said so
  g_running = &m;
  g_interrupted = 0;
  struct sigaction a {};
  a.sa_handler = on_signal;
  a.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(SIGINT, &a, &old_->on_int);
  ::sigaction(SIGTERM, &a, &old_->on_term);
}
SignalGuard::~SignalGuard() {
  g_running = nullptr;
  ::sigaction(SIGINT, &old_->on_int, nullptr);
  ::sigaction(SIGTERM, &old_->on_term, nullptr);
}
bool SignalGuard::interrupted() { return g_interrupted != 0; }

Progress::Progress(emu::Machine& m, std::function<std::string()> text, std::function<void(const std::string&)> line)
    : machine_(m), text_(std::move(text)), line_(std::move(line)), terminal_(is_terminal(STDERR_FILENO)), shown_(elapsed_now()), retired_(m.retired()) {}

Progress::~Progress() {
  if (shown_here_) std::fputs("\r\033[K", stderr);
}

void Progress::tick() {
  const double now = elapsed_now(), since = now - shown_;
  if (since < (terminal_ ? 0.5 : 10.0)) return;
  const u64 retired = machine_.retired();
  const std::string line = fmt::format("{} steps, {:.0f} MIPS, {}", grouped(machine_.steps()), mips(retired - retired_, since), text_());
  shown_ = now, retired_ = retired;
  if (!terminal_) { std::fprintf(stderr, "vitrine: %s\n", line.c_str()); return; }
  if (line_) { line_(line.substr(0, 110)); return; }
  std::fputs(("\r\033[K" + line.substr(0, 110)).c_str(), stderr);
  std::fflush(stderr);
  shown_here_ = true;
}

void Driver::to(u64 step) {
  while (!machine_.stop().requested() && machine_.steps() < step) {
    if (SignalGuard::interrupted()) { machine_.stop().request(StopReason::interrupted); break; }
    const double begin = elapsed_now();
    machine_.run(machine_.steps() + std::min(slice_, step - machine_.steps()));
    // About a fifth of a second each: often enough for the reader, too rarely to cost anything.
    const double took = elapsed_now() - begin;
    if (took < 0.1 && slice_ < 200'000'000) slice_ *= 2;
    else if (took > 0.4 && slice_ > 1'000'000) slice_ /= 2;
    between_();
  }
}

}  // namespace vt::cli
