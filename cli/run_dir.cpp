// SPDX-License-Identifier: GPL-2.0-or-later
#include "run_dir.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "verbs.hpp"

namespace vt::cli {
namespace fs = std::filesystem;

bool is_run(const std::string& path) {
  std::ifstream in(path + "/" + kManifest);
  if (!in) return false;
  const auto j = nlohmann::json::parse(in, nullptr, false);
  return j.is_object() && j.contains("schema") && j["schema"] == kRunSchema;
}

RunDir::RunDir(std::string path) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  std::error_code e;
  if (!fs::exists(path_, e)) {
    fs::path up = fs::path(path_).parent_path();
    while (!up.empty() && !fs::exists(up, e)) up = up.parent_path();
    if (!up.empty() && !fs::is_directory(up, e)) throw UsageError(fmt::format("-o {}: {} is not a directory", path_, up.string()));
    return;
  }
  if (!fs::is_directory(path_, e)) throw UsageError(fmt::format("-o {}: is a file; give a directory", path_));
  if (!fs::is_empty(path_, e) && !is_run(path_))
    throw UsageError(fmt::format("-o {}: is a directory with something else in it than a run; give another one", path_));
}

void RunDir::create() {
  std::error_code e;
  fs::remove_all(path_ + "/cache", e);   // an older run's
  fs::create_directories(path_ + "/cache", e);
  if (e) throw UsageError(fmt::format("-o {}: cannot be made ({})", path_, e.message()));
  for (auto& f : fs::directory_iterator(path_, e))
    if (const std::string name = f.path().filename().string(); name.starts_with("disk") && name.ends_with(".overlay")) fs::remove(f.path(), e);
  for (const char* old : {kManifest, kPlatform, kConsole, kConsole2, kEvents, kInput, kCapture, kEndCheckpoint}) fs::remove(file(old), e);
}

void RunDir::write(const std::string& name, const std::string& text) const {
  const std::string to = file(name), part = to + ".part";
  std::FILE* f = std::fopen(part.c_str(), "wb");
  if (!f) throw std::runtime_error(fmt::format("{}: cannot be written ({})", part, std::strerror(errno)));
  const bool ok = std::fwrite(text.data(), 1, text.size(), f) == text.size();
  if (std::fclose(f) != 0 || !ok) {
    std::remove(part.c_str());
    throw std::runtime_error(fmt::format("{}: cannot be written (disk full?)", part));
  }
  if (std::rename(part.c_str(), to.c_str()) != 0) throw std::runtime_error(fmt::format("{}: cannot be put in place ({})", to, std::strerror(errno)));
}

}  // namespace vt::cli
