// SPDX-License-Identifier: GPL-2.0-or-later
/// The files of cli/report/, made part of the program by cli/report/embed.py.
#pragma once
#include <string_view>

namespace vt::cli {
extern const std::string_view kReportHtml, kReportCss, kReportJs;
}
