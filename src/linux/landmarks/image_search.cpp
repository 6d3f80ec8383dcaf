// SPDX-License-Identifier: MIT
#include "linux/landmarks/image_search.h"

#include "util/work_limit.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace vmemfs {

void for_each_place(KernelMemory& memory, KernelImageRange image, std::string_view bytes,
                    const std::function<bool(std::uint64_t)>& found) {
  constexpr std::size_t kChunk = std::size_t{1} << 20U;
  constexpr std::uint64_t kPage = 4096;
  const std::boyer_moore_horspool_searcher searcher{bytes.begin(), bytes.end()};
  std::vector<std::byte> buffer(kChunk + bytes.size() - 1);
  unsigned places = 0;
  std::uint64_t begin = image.begin;
  while (begin < image.end && !WorkLimit::over()) {
    const std::size_t size = std::min<std::uint64_t>(buffer.size(), image.end - begin);
    const std::size_t done = memory.read(begin, std::span{buffer}.first(size));
    const std::string_view text{reinterpret_cast<const char*>(buffer.data()), done};
    for (auto place = std::search(text.begin(), text.end(), searcher); place != text.end();
         place = std::search(place + 1, text.end(), searcher)) {
      if (++places > kMaxPlaces || found(begin + static_cast<std::uint64_t>(place - text.begin()))) {
        return;
      }
    }
    // Behind a page that cannot be read, or so that a place across the border is found.
    begin = done < size ? ((begin + done) | (kPage - 1)) + 1 : begin + kChunk;
  }
}

} // namespace vmemfs
