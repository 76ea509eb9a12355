// SPDX-License-Identifier: GPL-2.0-or-later
#include "sandbox.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>

#include "text.hpp"

namespace vt::cli::sandbox {
namespace {

struct {
  bool armed = false, entered = false, network = false, debugger = false;
  std::vector<std::string> writable;
  std::vector<std::string_view> in_force;
} g;   // a process has one

#define CALL(name) SCMP_SYS(name)

/// What running a machine, keeping a run and telling of it need. Files are Landlock's business.
constexpr int kAllowed[] = {
  CALL(read), CALL(readv), CALL(pread64), CALL(write), CALL(writev), CALL(pwrite64), CALL(lseek), CALL(close), CALL(dup), CALL(fcntl), CALL(poll), CALL(ppoll), CALL(select), CALL(pselect6),
  CALL(fstat), CALL(stat), CALL(lstat), CALL(newfstatat), CALL(statx), CALL(statfs), CALL(fstatfs), CALL(access), CALL(faccessat), CALL(faccessat2), CALL(readlink), CALL(readlinkat), CALL(getdents64),
  CALL(open), CALL(openat), CALL(rename), CALL(renameat), CALL(renameat2), CALL(unlink), CALL(unlinkat), CALL(rmdir), CALL(mkdir), CALL(mkdirat), CALL(ftruncate), CALL(fallocate), CALL(fsync),
  CALL(fdatasync), CALL(fchmod), CALL(fchown), CALL(copy_file_range), CALL(sendfile), CALL(getcwd), CALL(chdir), CALL(fchdir), CALL(umask), CALL(fadvise64),
  CALL(munmap), CALL(mremap), CALL(madvise), CALL(brk), CALL(futex), CALL(restart_syscall), CALL(sched_yield), CALL(sched_getaffinity),
  CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday), CALL(time), CALL(nanosleep), CALL(clock_nanosleep), CALL(getrusage), CALL(times), CALL(sysinfo), CALL(uname), CALL(getrandom),
  CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(rt_sigtimedwait), CALL(rt_sigpending), CALL(sigaltstack), CALL(getpid), CALL(gettid), CALL(getuid), CALL(geteuid), CALL(getgid),
  CALL(getegid), CALL(exit), CALL(exit_group),
};
/// What no error of ours would ask for, but somebody who has taken the process over: it ends at once.
constexpr int kDeadly[] = {
  CALL(execve), CALL(execveat), CALL(fork), CALL(vfork), CALL(clone), CALL(clone3), CALL(ptrace), CALL(process_vm_readv), CALL(process_vm_writev), CALL(bpf), CALL(kexec_load), CALL(init_module),
  CALL(finit_module), CALL(mount), CALL(setns), CALL(unshare), CALL(io_uring_setup), CALL(userfaultfd), CALL(perf_event_open), CALL(pidfd_getfd),
};
constexpr int kSocket[] = {CALL(recvfrom), CALL(recvmsg), CALL(sendto), CALL(sendmsg), CALL(setsockopt), CALL(getsockopt), CALL(getsockname), CALL(getpeername), CALL(shutdown)};
constexpr int kConnect[] = {CALL(socket), CALL(connect), CALL(bind)};
constexpr int kAccept[] = {CALL(accept), CALL(accept4)};
constexpr unsigned long kTerminal[] = {TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, 0x40049409 /* FICLONE */};

/// False: errno says why.
bool filter_calls() {
  const scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (!c) { errno = ENOMEM; return false; }
  int bad = 0;
  auto is = [&](int r) { if (r < 0 && !bad) bad = -r; };
  auto allow = [&](const auto& calls) { for (int n : calls) is(seccomp_rule_add(c, SCMP_ACT_ALLOW, n, 0)); };
  allow(kAllowed);
  if (g.network || g.debugger) allow(kSocket);
  if (g.network) allow(kConnect);
  if (g.debugger) allow(kAccept);
  for (int n : kDeadly) is(seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, n, 0));
  if (!g.network)
    for (int n : kConnect) is(seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, n, 0));
  for (unsigned long request : kTerminal) is(seccomp_rule_add(c, SCMP_ACT_ALLOW, CALL(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, request)));
  // Nothing that was data becomes code.
  for (int n : {CALL(mmap), CALL(mprotect)}) is(seccomp_rule_add(c, SCMP_ACT_ALLOW, n, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  is(seccomp_rule_add(c, SCMP_ACT_ALLOW, CALL(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)));   // asking only
  // A signal handler that raises again what it has got, and abort().
  const auto self = static_cast<scmp_datum_t>(::getpid());
  for (int n : {CALL(kill), CALL(tgkill)}) is(seccomp_rule_add(c, SCMP_ACT_ALLOW, n, 1, SCMP_A0(SCMP_CMP_EQ, self)));
  is(seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));   // 32-bit calls
  (void)seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);                    // these two are about speed: a tree, and no mitigations that the
  (void)seccomp_attr_set(c, SCMP_FLTATR_CTL_SSB, 1);                         // process would not have without a filter
  if (!bad) is(seccomp_load(c));
  seccomp_release(c);
  errno = bad;
  return bad == 0;
}

/// Writing, making and removing only below the directories that were said, starting programs not at all. False: a kernel without Landlock.
bool confine_files() {
  // The headers of Debian 12 are older than some of its kernels.
  constexpr std::uint64_t kRefer = 1u << 13, kTruncate = 1u << 14;
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return false;
  std::uint64_t writes = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG;
  if (abi >= 3) writes |= kTruncate;
  std::uint64_t handled = writes | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
  if (abi >= 2) handled |= kRefer;
  const landlock_ruleset_attr all{.handled_access_fs = handled};
  const int rules = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0));
  if (rules < 0) return false;
  for (auto& directory : g.writable) {
    const int fd = ::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    const landlock_path_beneath_attr below{.allowed_access = writes, .parent_fd = fd};
    (void)::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0);
    ::close(fd);
  }
  const bool ok = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  ::close(rules);
  return ok;
}

}  // namespace

void arm(bool on) { g.armed = on; }
void may_write(const std::string& directory) {
  std::error_code e;
  g.writable.push_back(std::filesystem::absolute(directory.empty() ? "." : directory, e).string());
}
void may_network() { g.network = true; }
void may_serve() { g.debugger = true; }

void enter() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)   // their run-time starts threads and looks at other processes' memory
  if (!g.armed || g.entered) return;
  g.entered = true;
  const bool files = confine_files();
  if (filter_calls()) g.in_force.push_back("seccomp");
  else print_warning(fmt::format("the host's kernel takes no filter of system calls ({}): the guest runs without it (--no-sandbox: without this warning)", std::strerror(errno)));
  if (files) g.in_force.push_back("landlock");
#endif
}

const std::vector<std::string_view>& in_force() { return g.in_force; }

}  // namespace vt::cli::sandbox
