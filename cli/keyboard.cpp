// SPDX-License-Identifier: GPL-2.0-or-later
#include "keyboard.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "text.hpp"
#include "typing.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

// Signal handlers have no object to ask.
termios g_cooked, g_raw;
volatile std::sig_atomic_t g_is_raw = 0;
constexpr int kFatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGHUP, SIGQUIT, SIGPIPE};
struct sigaction g_old[std::size(kFatal)], g_old_continue;

void cooked() {
  if (!g_is_raw) return;
  g_is_raw = 0;
  ::tcsetattr(STDIN_FILENO, TCSANOW, &g_cooked);
}
/// Whatever ends the process, the terminal is as it was.
void on_fatal(int signal) {
  cooked();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}
/// Somebody stopped and continued us; the shell has its own idea of the terminal meanwhile.
void on_continue(int) {
  if (g_is_raw) ::tcsetattr(STDIN_FILENO, TCSANOW, &g_raw);
}

}  // namespace

bool Keyboard::present() {
  struct stat s {};
  return ::isatty(STDIN_FILENO) || (::fstat(STDIN_FILENO, &s) == 0 && (S_ISFIFO(s.st_mode) || S_ISSOCK(s.st_mode)));
}

Keyboard::Keyboard(std::optional<u8> escape) : escape_(::isatty(STDIN_FILENO) ? escape : std::nullopt), terminal_(::isatty(STDIN_FILENO)) {
  if (!terminal_ || ::tcgetattr(STDIN_FILENO, &g_cooked) != 0) return;
  // Every key is the guest's, Ctrl-C and Ctrl-A too. Output stays as it was: our own lines end with a line feed only.
  g_raw = g_cooked;
  g_raw.c_iflag &= ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  g_raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  g_raw.c_cflag = (g_raw.c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8;
  g_raw.c_cc[VMIN] = 1, g_raw.c_cc[VTIME] = 0;
  static const bool once = [] { std::atexit(cooked); return true; }();
  (void)once;
  struct sigaction a {};
  a.sa_handler = on_fatal;
  for (std::size_t n = 0; n < std::size(kFatal); ++n) ::sigaction(kFatal[n], &a, &g_old[n]);
  a.sa_handler = on_continue;
  a.sa_flags = SA_RESTART;
  ::sigaction(SIGCONT, &a, &g_old_continue);
  g_is_raw = 1;
  ::tcsetattr(STDIN_FILENO, TCSANOW, &g_raw);
}

Keyboard::~Keyboard() {
  if (!g_is_raw) return;
  cooked();
  for (std::size_t n = 0; n < std::size(kFatal); ++n) ::sigaction(kFatal[n], &g_old[n], nullptr);
  ::sigaction(SIGCONT, &g_old_continue, nullptr);
}

std::string Keyboard::read(double seconds) {
  pollfd p{STDIN_FILENO, POLLIN, 0};
  if (!open_ || escaped_ || ::poll(&p, 1, static_cast<int>(seconds * 1000)) <= 0) return {};
  char bytes[kMost];
  const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
  if (n <= 0) {
    if (n == 0 || (errno != EINTR && errno != EAGAIN)) open_ = false;   // the end of the pipe; the terminal has gone
    return {};
  }
  std::string s(bytes, static_cast<std::size_t>(n));
  if (escape_)
    if (const auto at = s.find(static_cast<char>(*escape_)); at != s.npos) escaped_ = true, s.resize(at);
  return s;
}

std::optional<u8> parse_escape(const std::string& s) {
  if (s == "none") return {};
  const std::string key = parse_keys(s, "--escape " + s);
  if (key.size() != 1) throw UsageError(fmt::format("--escape {}: has to be one key, as ^] or \\x1d, or none", s));
  return static_cast<u8>(key[0]);
}

std::string key_text(u8 key) {
  if (key < 0x20) return fmt::format("^{}", static_cast<char>(key + '@'));
  return key == 0x7f ? "^?" : key < 0x7f ? std::string(1, static_cast<char>(key)) : fmt::format("\\x{:02x}", key);
}

}  // namespace vt::cli
