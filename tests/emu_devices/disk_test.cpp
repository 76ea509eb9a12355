// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_rig.hpp"

using namespace vt;
using namespace vt::emu;

namespace {
struct Listener final : DiskListener {
  void written(u64 block, const u8* bytes) override { blocks[block].assign(bytes, bytes + Disk::kBlock); ++told; }
  std::map<u64, std::vector<u8>> blocks;
  unsigned told = 0;
};
struct DiskTest : testing::Test {
  static constexpr u64 kSize = (u64{6} << 20) + 512;   // the last block is cut off
  std::shared_ptr<MemoryImage> image = std::make_shared<MemoryImage>(kSize);
  Stop stop;
  Disk disk{"disk0", kSize, image, stop};
  std::vector<u8> in(u64 sector, u64 n) {
    std::vector<u8> v(n * 512);
    EXPECT_TRUE(disk.read(sector, v.data(), n));
    return v;
  }
};
}  // namespace

TEST_F(DiskTest, unwritten_sectors_come_from_the_image) {
  EXPECT_EQ(disk.sectors(), kSize / 512);
  EXPECT_EQ(std::memcmp(in(0, disk.sectors()).data(), image->bytes.data(), kSize), 0);
  EXPECT_EQ(disk.written_blocks(), 0u);
}

TEST_F(DiskTest, writes_stay_over_the_image) {
  std::vector<u8> expect = image->bytes, data(9 * 512, 0x5a);
  Listener listener;
  disk.listen(&listener);
  ASSERT_TRUE(disk.write(3, data.data(), 9));                    // touches blocks 0 and 1
  std::fill_n(expect.begin() + 3 * 512, data.size(), u8{0x5a});
  ASSERT_TRUE(disk.write(disk.sectors() - 1, data.data(), 1));   // and the last one
  std::fill_n(expect.end() - 512, 512, u8{0x5a});
  EXPECT_EQ(in(0, disk.sectors()), expect);
  EXPECT_EQ(disk.written_blocks(), 3u);
  EXPECT_EQ(listener.told, 3u);
  EXPECT_EQ(std::memcmp(listener.blocks[1].data(), &expect[4096], 4096), 0);
  EXPECT_NE(image->bytes, expect);
}

TEST_F(DiskTest, zeroes_are_written_in_any_shape) {
  std::vector<u8> expect = image->bytes;
  for (auto [first, n] : {std::pair<u64, u64>{1, 1}, {7, 10}, {4096 - 3, 4096 + 6}, {disk.sectors() - 9, 9}}) {
    ASSERT_TRUE(disk.zero(first, n));
    std::fill_n(expect.begin() + static_cast<std::ptrdiff_t>(first * 512), n * 512, u8{0});
    EXPECT_EQ(in(0, disk.sectors()), expect);
  }
  const std::vector<u8> data(512, 1);
  ASSERT_TRUE(disk.write(4096 + 8, data.data(), 1));             // what zeroes share is not written to
  std::fill_n(expect.begin() + (4096 + 8) * 512, 512, u8{1});
  EXPECT_EQ(in(0, disk.sectors()), expect);
}

TEST_F(DiskTest, a_copy_of_what_was_written_stays_as_it_was) {
  std::vector<u8> data(4096, 1);
  disk.write(0, data.data(), 8), disk.write(8, data.data(), 8);
  const Disk::Written then = disk.written();
  const auto before = in(0, 32);
  std::fill(data.begin(), data.end(), u8{2});
  disk.write(8, data.data(), 8), disk.write(17, data.data(), 1), disk.zero(0, 8);
  EXPECT_NE(in(0, 32), before);
  disk.restore(then);
  EXPECT_EQ(in(0, 32), before);
}

TEST_F(DiskTest, every_written_byte_is_state) {
  const std::string empty = hash_of(disk);
  std::vector<u8> data(512, 0x77);
  disk.write(100, data.data(), 1), disk.write(9000, data.data(), 1), disk.zero(4096, 4096);
  const std::string hash = hash_of(disk);
  EXPECT_NE(hash, empty);
  SaveAr s;
  disk.state(s);
  Disk other("disk0", kSize, image, stop);
  LoadAr l(s.out);
  other.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(hash_of(other), hash);
  data[511] = 0x78;
  disk.write(9000, data.data(), 1);
  EXPECT_NE(hash_of(disk), hash);
  std::vector<u8> damaged = s.out;
  damaged[8 + 5] = 0xff;                                          // a block number that the disk has not
  LoadAr d(damaged);
  EXPECT_THROW(other.state(d), std::runtime_error);
}

TEST_F(DiskTest, a_host_that_fails_ends_the_run_by_name) {
  std::vector<u8> data(512, 1);
  ASSERT_TRUE(disk.write(0, data.data(), 1));
  image->broken = true;
  EXPECT_TRUE(disk.read(7, data.data(), 1));                      // in the block that was written
  EXPECT_FALSE(stop.requested());
  EXPECT_FALSE(disk.read(8, data.data(), 1));
  EXPECT_EQ(stop.reason(), StopReason::input_lost);
  EXPECT_EQ(stop.what(), "disk.img: cannot be read");
  EXPECT_EQ(data, std::vector<u8>(512));
  EXPECT_FALSE(disk.write(16, data.data(), 1));                   // a part of a block needs the rest of it
  EXPECT_TRUE(disk.write(16, std::vector<u8>(4096).data(), 8));
  Disk gone("disk1", 4096, nullptr, stop);
  stop.clear();
  EXPECT_FALSE(gone.read(0, data.data(), 1));
  EXPECT_NE(stop.what().find("disk1: its image is not there any more"), std::string::npos) << stop.what();
}
