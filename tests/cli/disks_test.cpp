// SPDX-License-Identifier: GPL-2.0-or-later
// Images, overlays and merging: docs/devices.md, docs/formats.md
#include "disks.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "firmware/image.hpp"
#include "typing.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
namespace fs = std::filesystem;

struct DisksTest : testing::Test {
  DisksTest() {
    char name[] = "/tmp/vitrine-disks-XXXXXX";
    top = ::mkdtemp(name);
  }
  ~DisksTest() override { fs::remove_all(top); }
  std::string make(const std::string& name, u64 size, char fill = 'a') {
    std::ofstream(top + "/" + name, std::ios::binary) << std::string(size, fill);
    return top + "/" + name;
  }
  static std::string text(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  template <class E, class F>
  static std::string thrown(F f) {
    try {
      f();
    } catch (const E& e) {
      return e.what();
    }
    return "nothing was thrown";
  }
  static fw::Platform platform(const std::string& more = {}) {
    return fw::parse_platform(R"({"vitrine": "platform/1", "memory": "64M")" + (more.empty() ? "" : R"(, "pci": [{"bdf": "00:00.0", "device": 1, "class_code": 0}, )" + more + "]") + "}", "p.json");
  }
  std::string top;
};

TEST_F(DisksTest, what_is_no_image_is_refused_by_name) {
  const auto open = [&](const std::string& file) { return thrown<InputError>([&] { RawImage i(file); }); };
  EXPECT_EQ(open(top + "/none"), top + "/none: cannot be opened (No such file or directory); give a raw disk image as --disk FILE");
  EXPECT_EQ(open(top), top + ": is not a file; give a raw disk image as --disk FILE");
  EXPECT_NE(open(make("empty", 0)).find("empty: is empty; make a disk"), std::string::npos);
  EXPECT_NE(open(make("odd", 1000)).find("odd: has 1000 bytes, which is no multiple of the sector size 512"), std::string::npos);
  const std::string q = make("q", 1024);
  std::ofstream(q, std::ios::binary | std::ios::in) << "QFI\xfb";
  EXPECT_NE(open(q).find("is a qcow2 image"), std::string::npos);
}

TEST_F(DisksTest, an_image_that_becomes_shorter_is_noticed_where_it_is_read) {
  const std::string file = make("disk", 8192);
  RawImage i(file);
  u8 byte = 0;
  EXPECT_TRUE(i.read(8191, &byte, 1));
  EXPECT_EQ(byte, 'a');
  EXPECT_EQ(i.changed(), "");
  fs::resize_file(file, 4096);
  EXPECT_TRUE(i.read(4095, &byte, 1));
  EXPECT_FALSE(i.read(4096, &byte, 1));
  EXPECT_EQ(i.what_failed(), file + ": is shorter than when the run began: it had 8192 bytes, and ends at byte 4096 now; put it back and run again");
  EXPECT_EQ(i.changed(), "has another size now");
  fs::remove(file);
  EXPECT_EQ(i.changed(), "is gone");
}

TEST_F(DisksTest, an_image_with_another_sum_is_refused_at_the_first_byte) {
  const std::string sha = fw::sha256_file(make("a", 512));
  RawImage good(top + "/a", sha), bad(make("b", 512, 'b'), sha);
  u8 byte = 0;
  EXPECT_TRUE(good.read(0, &byte, 1));
  EXPECT_FALSE(bad.read(0, &byte, 1));
  EXPECT_NE(bad.what_failed().find("has changed (another SHA-256)"), std::string::npos);
}

TEST_F(DisksTest, options) {
  EXPECT_EQ(parse_disk("a,b.img").file, "a,b.img");
  EXPECT_EQ(parse_disk("a,b.img").interface, "nvme");
  EXPECT_EQ(parse_disk("a,if=ahci").interface, "ahci");
  EXPECT_EQ(thrown<UsageError>([] { parse_disk("a,if=scsi"); }), "--disk a,if=scsi: if=scsi: there are nvme (the default) and ahci");
  EXPECT_NE(thrown<UsageError>([] { parse_disk(",if=nvme"); }).find("the file is missing"), std::string::npos);
  EXPECT_EQ(parse_poke("console:'x=y'=0x1000:00ff").memory, 0x1000u);
  EXPECT_EQ(parse_poke("5=4096:41").keys, "A");
  for (const char* bad : {"5=0x1000", "5=x:00", "5=0x1000:0", "5=0x1000:", "5=0xfff:0000", "x=0:00"}) EXPECT_THROW(parse_poke(bad), UsageError) << bad;
}

TEST_F(DisksTest, images_find_their_places) {
  fw::Platform p = platform();
  auto all = attach_disks(p, {make("n1", 4096), make("s1", 512, 's') + ",if=ahci", make("s2", 1024, 't') + ",if=ahci", make("n2", 4096, 'n')});
  ASSERT_EQ(all.size(), 4u);
  // In the platform's order: 00:05.0 nvme, 00:06.0 ahci with two, 00:07.0 nvme.
  EXPECT_EQ(all[1]->file(), top + "/s1");
  EXPECT_EQ(all[2]->file(), top + "/s2");
  EXPECT_EQ(all[3]->file(), top + "/n2");
  EXPECT_EQ(p.pci[3].bdf, Bdf(0, 6, 0));
  EXPECT_EQ(p.pci[3].disks[1].port, 1u);
  EXPECT_EQ(p.pci[3].disks[1].size, 1024u);
  // The description of the run takes the same images again, in any order, and no others.
  fw::Platform again = fw::parse_platform(fw::to_json(p), "run.json");
  auto same = attach_disks(again, {top + "/n2", top + "/s2,if=ahci", top + "/n1", top + "/s1,if=ahci"});
  ASSERT_EQ(same.size(), 4u);
  for (unsigned n = 0; n < 4; ++n) EXPECT_EQ(same[n]->file(), all[n]->file());
  EXPECT_EQ(fw::to_json(again), fw::to_json(p));
  fw::Platform without = fw::parse_platform(fw::to_json(p), "run.json");
  EXPECT_NE(thrown<fw::PlatformError>([&] { attach_disks(without, {}); }).find("run.json: pci[2].disks[0]: is a disk of 4096 bytes with SHA-256 "), std::string::npos);
}

TEST_F(DisksTest, a_described_disk_has_its_size) {
  fw::Platform p = platform(R"({"bdf": "00:05.0", "model": "nvme", "disks": [{"size": 8192}]})");
  EXPECT_NE(thrown<InputError>([&] { attach_disks(p, {make("d", 4096)}); }).find("d: has 4096 bytes, and 00:05.0 waits for a disk of 8192"), std::string::npos);
  for (auto [row, message] : {std::pair{R"({"bdf": "00:05.0", "model": "nvme", "disks": [{"size": 8192, "port": 1}]})", "p.json: pci[1].disks[0].port: 1; \"nvme\" has ports 0 to 0"},
                              {R"({"bdf": "00:05.0", "model": "ahci", "disks": [{"size": 512}, {"size": 512}]})", "p.json: pci[1].disks[1].port: 0 is also that of disks[0]"},
                              {R"({"bdf": "00:05.0", "model": "ahci", "disks": [{"size": 100}]})", "p.json: pci[1].disks[0].size: 0x64 is not a multiple of 512"},
                              {R"({"bdf": "00:05.0", "model": "ahci", "disks": [{"size": 512, "sha256": "x"}]})", "p.json: pci[1].disks[0].sha256: has to be 64"},
                              {R"({"bdf": "00:05.0", "model": "dma", "disks": [{"size": 512}]})", "p.json: pci[1].disks: is only for the models"}})
    EXPECT_EQ(thrown<fw::PlatformError>([&] { platform(row); }).find(message), 0u) << thrown<fw::PlatformError>([&] { platform(row); });
}

TEST_F(DisksTest, the_overlay_has_what_was_written) {
  const std::string file = make("disk", 3 * 4096 + 512), to = top + "/disk0.overlay";
  auto image = std::make_shared<RawImage>(file);
  Stop stop;
  emu::Disk disk("disk0", image->size(), image, stop);
  Overlay overlay(to, file, image->size(), image->sha256());
  disk.listen(&overlay);
  disk.write(9, std::string(512, 'W').data(), 1), disk.write(24, std::string(512, 'Z').data(), 1);
  const std::string bytes = text(to);   // not closed: as after a crash
  const auto head = nlohmann::json::parse(bytes.substr(0, 4096));
  EXPECT_EQ(head["schema"], "vitrine.overlay/1");
  EXPECT_EQ(head["sha256"], image->sha256());
  const u64 data = head["data"];
  EXPECT_EQ(bytes.size(), data + 4 * 4096);
  EXPECT_EQ(bytes[head["bitmap"].get<u64>()], 0b1010);
  EXPECT_EQ(bytes.substr(data + 4096, 1024), std::string(512, 'a') + std::string(512, 'W'));
  EXPECT_EQ(bytes.substr(data + 3 * 4096, 512), std::string(512, 'Z'));
  disk.restore({});
  overlay.again(disk);
  EXPECT_EQ(text(to)[4096], 0);
  EXPECT_EQ(text(file), std::string(3 * 4096 + 512, 'a'));
  EXPECT_EQ(thrown<std::runtime_error>([&] { Overlay o(top + "/no/disk0.overlay", file, 512, ""); }), top + "/no/disk0.overlay: cannot be made (No such file or directory)");
}

TEST_F(DisksTest, a_commit_puts_a_whole_new_image_in_place) {
  const std::string file = make("disk", 3 * 4096 + 512), link = top + "/link";
  fs::create_symlink("disk", link);
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  auto image = std::make_shared<RawImage>(link);
  Stop stop;
  emu::Disk disk("disk0", image->size(), image, stop);
  disk.write(9, std::string(512, 'W').data(), 1), disk.write(24, std::string(512, 'Z').data(), 1);
  const std::string sha = commit_disk(*image, disk);
  std::string want(3 * 4096 + 512, 'a');
  want.replace(9 * 512, 512, 512, 'W'), want.replace(24 * 512, 512, 512, 'Z');
  EXPECT_EQ(text(file), want);
  EXPECT_EQ(sha, fw::sha256_file(file));
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_FALSE(fs::exists(file + ".vitrine-part"));
  // A second one finds that it is no longer the image that the run began with.
  EXPECT_NE(thrown<std::runtime_error>([&] { commit_disk(*image, disk); }).find("is another file now while the run went on; nothing was committed"), std::string::npos);
}

TEST_F(DisksTest, killed_while_it_commits_an_image_is_the_old_one_or_the_new_one) {
  constexpr u64 kSize = u64{4} << 20;
  const std::string file = make("disk", kSize), before(kSize, 'a'), after(kSize, 'W');
  unsigned old = 0;
  for (unsigned n = 0; n < 12; ++n) {
    std::ofstream(file, std::ios::binary) << before;
    const pid_t child = ::fork();
    if (child == 0) {
      Stop stop;
      auto image = std::make_shared<RawImage>(file);
      emu::Disk disk("disk0", kSize, image, stop);
      disk.write(0, after.data(), kSize / 512);
      try {
        commit_disk(*image, disk);
      } catch (...) { }
      ::_exit(0);
    }
    ASSERT_GT(child, 0);
    ::usleep(n * 3000);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string now = text(file);
    ASSERT_TRUE(now == before || now == after) << "after " << n * 3 << " ms";
    old += now == before;
  }
  EXPECT_GT(old, 0u);
}

}  // namespace
}  // namespace vt::cli
