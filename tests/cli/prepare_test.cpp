// SPDX-License-Identifier: GPL-2.0-or-later
#include "prepare.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "manifest.hpp"

namespace vt::cli {
namespace {

std::string usage(const PlatformOptions& o) {
  try {
    (void)make_platform(o);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "(taken)";
}

TEST(prepare, options_change_the_platform) {
  const fw::Platform p = make_platform({.cpu = "server,-vmx,+x2apic", .memory = "1G", .cpus = 2});
  EXPECT_EQ(p.memory, u64{1} << 30);
  EXPECT_EQ(p.cpu.count, 2u);
  EXPECT_EQ(p.cpu.features, (std::vector<std::string>{"-vmx", "+x2apic"}));
  u64 ram = 0;
  for (auto& r : p.e820) if (r.type == fw::E820::RAM) ram += r.size;
  EXPECT_LT(ram, u64{1} << 30);
}

TEST(prepare, wrong_options_are_named) {
  EXPECT_EQ(usage({.memory = "lots"}).rfind("--memory lots:", 0), 0u);
  EXPECT_EQ(usage({.memory = "1M"}).rfind("--memory 1M:", 0), 0u);
  EXPECT_EQ(usage({.cpus = 99}).rfind("--cpus 99:", 0), 0u) << usage({.cpus = 99});
  EXPECT_EQ(usage({.cpu = "server,+nothing"}).rfind("--cpu server,+nothing:", 0), 0u);
  EXPECT_EQ(usage({.cpu = "server,,"}).rfind("--cpu", 0), 0u);
}

TEST(prepare, memory_does_not_go_with_an_e820_of_the_files_own) {
  char name[] = "/tmp/vitrine-platform-XXXXXX";
  const std::string file = std::string(::mkdtemp(name)) + "/p.json";
  std::ofstream(file) << fw::to_json(fw::default_platform(u64{1} << 30));
  const std::string why = usage({.platform = file, .memory = "2G"});
  EXPECT_NE(why.find("memory map itself"), why.npos) << why;
  std::filesystem::remove_all(name);
}

TEST(prepare, a_module_is_a_file_and_its_arguments) {
  EXPECT_EQ(parse_module("vmlinuz").file, "vmlinuz");
  EXPECT_EQ(parse_module("vmlinuz  console=hvc0 a b").args, "console=hvc0 a b");
  EXPECT_EQ(parse_module("vmlinuz console=hvc0").file, "vmlinuz");
  EXPECT_EQ(parse_module("vmlinuz ").args, "");
}

TEST(prepare, a_kernel_or_a_rom_but_one) {
  EXPECT_THROW(prepare({}), UsageError);
  EXPECT_THROW(prepare({.kernel = "a", .firmware = "b"}), UsageError);
  EXPECT_THROW(prepare({.append = "x", .firmware = "b"}), UsageError);
  EXPECT_THROW(prepare({.kernel = "/nonexistent/kernel"}), fw::LoadError);
}

TEST(manifest, exit_statuses) {
  const auto of = [](StopReason r, int code = 0, const char* until = "") {
    Stop s;
    s.request(r, "", "", code);
    return exit_status(s, parse_when(until));
  };
  EXPECT_EQ(of(StopReason::until), 0);
  EXPECT_EQ(of(StopReason::power_off), 0);
  EXPECT_EQ(of(StopReason::power_off, 0, "console:x"), 1) << "it never came to that";
  EXPECT_EQ(of(StopReason::reset), 1);
  EXPECT_EQ(of(StopReason::triple_fault), 1);
  EXPECT_EQ(of(StopReason::halted), 1);
  EXPECT_EQ(of(StopReason::unsupported), 3);
  EXPECT_EQ(of(StopReason::exit_device, 7), 7);
  EXPECT_EQ(of(StopReason::limit), 124);
  EXPECT_EQ(of(StopReason::interrupted), 130);
}

}  // namespace
}  // namespace vt::cli
