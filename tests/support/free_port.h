// A TCP port on 127.0.0.1 for a server of a test.
#pragma once

namespace vmemfs::test {

/// One that nobody listens on just now. Throws std::runtime_error.
[[nodiscard]] unsigned free_port();

} // namespace vmemfs::test
