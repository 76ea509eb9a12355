// SPDX-License-Identifier: GPL-2.0-or-later
/// vitrine report: the run as one HTML file.
#include "report.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "cycle_slices.hpp"
#include "report_page.hpp"
#include "sandbox.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

void replace(std::string& text, std::string_view marker, std::string_view with) {
  const std::size_t at = text.find(marker);
  if (at != std::string::npos) text.replace(at, marker.size(), with);
}

std::string escaped(std::string_view s) {
  std::string out;
  for (char c : s) switch (c) {
    case '&': out += "&amp;"; break;
    case '<': out += "&lt;"; break;
    case '>': out += "&gt;"; break;
    case '"': out += "&quot;"; break;
    default: out += c;
  }
  return out;
}

/// JSON inside <script>: nothing in it may look like markup. Console text may hold any bytes, so what is no UTF-8 is replaced.
std::string data_text(const nlohmann::ordered_json& data) {
  const std::string plain = data.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  std::string out;
  out.reserve(plain.size() + plain.size() / 64);
  for (char c : plain)
    if (c == '<') out += "\\u003c";
    else out += c;
  return out;
}

}  // namespace

std::string report_page(const nlohmann::ordered_json& data) {
  std::string page{kReportHtml};
  const auto meta = data.value("meta", nlohmann::ordered_json::object());
  replace(page, "@TITLE@", escaped(fmt::format("{} on {}: who mapped what", std::filesystem::path(meta.value("run", "run")).filename().string(), meta.value("platform", ""))));
  replace(page, "/*@STYLE@*/", kReportCss);
  replace(page, "/*@SCRIPT@*/", kReportJs);
  replace(page, "@DATA@", data_text(data));   // last: it may hold the other markers
  return page;
}

int report(const ReportOptions& o) {
  if (o.out != "-") sandbox::may_write(std::filesystem::path(o.out).parent_path());
  Story story(o.run);
  const views::CheckInput check{story.history(), story.setup(), story.words(), story.platform(), story.end_event()};
  const std::vector<views::Finding> findings = views::check(check);
  const ReportInput in{story.history(), story.setup(), story.words(), story.platform(), story.manifest(), story.console(), findings,
                       story.end_event(), story.end_step(), o.run, cycles_of_run(story.path(), story.manifest(), story.end_step())};
  const std::string page = report_page(report_data(in));
  if (page.size() > kReportLimit) print_warning(fmt::format("the report has {} bytes; browsers may take a while to open it", grouped(page.size())));

  const std::string& out = o.out;
  const bool to_stdout = out == "-";
  std::FILE* f = to_stdout ? stdout : std::fopen(out.c_str(), "wb");
  if (!f) throw InputError(out + ": cannot be written; give another file with -o");
  const bool written = std::fwrite(page.data(), 1, page.size(), f) == page.size() && std::fflush(f) == 0;
  const bool closed = to_stdout || std::fclose(f) == 0;
  if (!written || !closed) throw InputError(out + ": could not be written to its end: is the disk full?");
  if (!to_stdout)
    std::fputs(fmt::format("{}: {} KB, {} finding{}; it needs nothing but a browser\n", out, grouped(page.size() / 1000), findings.size(), findings.size() == 1 ? "" : "s").c_str(), stderr);
  return status::ok;
}

}  // namespace vt::cli
