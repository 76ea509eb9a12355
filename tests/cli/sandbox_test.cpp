// SPDX-License-Identifier: GPL-2.0-or-later
/// What the process cannot do once a guest runs. Each case is a child: there is no way back. Sources: seccomp(2), landlock(7).
#include "sandbox.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

using namespace vt::cli;
namespace fs = std::filesystem;
namespace {

/// `f` in a child in the sandbox: its exit status, or 1000 + the signal that ended it, or -1 where the host has no such filter.
int confined(const std::function<int()>& f, const std::function<void()>& before = [] {}) {
  const pid_t child = ::fork();
  if (child == 0) {
    before();
    sandbox::arm(true);
    sandbox::enter();
    auto& all = sandbox::in_force();
    ::_exit(std::find(all.begin(), all.end(), "seccomp") == all.end() ? 255 : f());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return 1000 + WTERMSIG(status);
  return WEXITSTATUS(status) == 255 ? -1 : WEXITSTATUS(status);
}
constexpr int kKilled = 1000 + SIGSYS;
#define NEEDS_FILTER() if (confined([] { return 0; }) < 0) GTEST_SKIP() << "this host's kernel takes no filter"

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("vitrine-sandbox-" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(path / "run"); }
  ~Scratch() { fs::remove_all(path); }
};
int made(const fs::path& file) { return ::open(file.c_str(), O_WRONLY | O_CREAT, 0666) >= 0 ? 0 : errno; }
bool landlock() { return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) >= 1; }

}  // namespace

TEST(sandbox, does_nothing_unless_main_has_armed_it) {
  sandbox::enter();
  EXPECT_TRUE(sandbox::in_force().empty());
  EXPECT_EQ(::ptrace(PTRACE_PEEKUSER, 0, nullptr, nullptr), -1);   // an answer, not an end
}

TEST(sandbox, a_filter_is_in_force) {   // proc(5): Seccomp 2 is a filter
  NEEDS_FILTER();
  EXPECT_EQ(confined([] {
    std::ifstream in("/proc/self/status");
    for (std::string line; std::getline(in, line);)
      if (line.starts_with("Seccomp:")) return line.back() - '0';
    return 9;
  }), 2);
}

TEST(sandbox, other_programs_and_processes_end_it) {
  NEEDS_FILTER();
  EXPECT_EQ(confined([] { ::execl("/bin/true", "true", nullptr); return 1; }), kKilled);
  EXPECT_EQ(confined([] { return ::fork() >= 0 ? 1 : 2; }), kKilled);
  EXPECT_EQ(confined([] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 1 : 2; }), kKilled);
}

TEST(sandbox, sockets_end_it_without_a_network) {
  NEEDS_FILTER();
  auto open = [] { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : 1; };
  EXPECT_EQ(confined(open), kKilled);
  EXPECT_EQ(confined(open, sandbox::may_serve), kKilled);   // a debugger is accepted, nobody is called
  EXPECT_EQ(confined(open, sandbox::may_network), 0);
}

TEST(sandbox, only_a_server_accepts) {
  NEEDS_FILTER();
  auto accepted = [] { return ::accept(0, nullptr, nullptr) < 0 && errno == EPERM ? 1 : 0; };
  EXPECT_EQ(confined(accepted), 1);
  EXPECT_EQ(confined(accepted, sandbox::may_serve), 0);
}

TEST(sandbox, data_never_becomes_code) {
  NEEDS_FILTER();
  EXPECT_EQ(confined([] {
    void* p = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return 1;
    return ::mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0 || errno != EPERM ? 2 : 0;
  }), 0);
}

TEST(sandbox, calls_that_are_not_listed_are_refused) {
  NEEDS_FILTER();
  EXPECT_EQ(confined([] { return ::chroot("/") == 0 ? 0 : errno; }), EPERM);
  const pid_t parent = ::getpid();
  EXPECT_EQ(confined([&] { return ::kill(parent, 0) == 0 ? 0 : errno; }), EPERM);
  EXPECT_EQ(confined([] { return ::kill(::getpid(), 0) == 0 ? 0 : errno; }), 0);
}

TEST(sandbox, files_are_written_only_where_the_run_is_kept) {   // landlock(7)
  NEEDS_FILTER();
  if (!landlock()) GTEST_SKIP() << "this host's kernel has no Landlock";
  Scratch s;
  auto run_only = [&] { sandbox::may_write(s.path / "run"); };
  EXPECT_EQ(confined([&] { return made(s.path / "run/new"); }, run_only), 0);
  EXPECT_EQ(confined([&] { return made(s.path / "new"); }, run_only), EACCES);
  EXPECT_EQ(confined([&] { return made(s.path / "run/new"); }), EACCES);
  EXPECT_EQ(confined([&] { return ::unlink((s.path / "run/new").c_str()) == 0 ? 0 : errno; }), EACCES);
  EXPECT_EQ(confined([&] { return ::rename((s.path / "run/new").c_str(), (s.path / "run/old").c_str()) == 0 ? 0 : errno; }, run_only), 0);
  EXPECT_EQ(confined([] { return ::open("/proc/self/status", O_RDONLY) >= 0 ? 0 : errno; }, run_only), 0);
}

TEST(sandbox, a_directory_that_is_not_there_is_left_out) {
  NEEDS_FILTER();
  Scratch s;
  EXPECT_EQ(confined([&] { return made(s.path / "run/new"); }, [&] { sandbox::may_write(s.path / "none"), sandbox::may_write(s.path / "run"); }), 0);
}
