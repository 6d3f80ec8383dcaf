// SPDX-License-Identifier: MIT
#include "support/libvirt_host.h"

#include "support/free_port.h"
#include "support/qemu_guest.h"

#include <array>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>
#include <unistd.h>
#include <utility>

namespace vmemfs::test {
namespace {

/// libvirt's directories: the private one, and the one it is bound over. libvirt probes QEMU again for
/// each cache, which takes long, so all tests share that.
constexpr std::array<std::pair<const char*, const char*>, 5> kDirectories{{{"etc", "/etc/libvirt"},
                                                                           {"run", "/run/libvirt"},
                                                                           {"lib", "/var/lib/libvirt"},
                                                                           {"log", "/var/log/libvirt"},
                                                                           {"cache", "/var/cache/libvirt"}}};

constexpr const char* kQemuConf = R"(user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
dynamic_ownership = 0
remember_owner = 0
)";

/// Different in each process and for each host in it.
std::string made_up_uuid() {
  static int count = 0;
  return fmt::format("{:08x}-{:04x}-4000-8000-0123456789ab", ::getpid(), ++count);
}

/// An authority, and what it vouches for: the server on 127.0.0.1, and a client. Called as libvirt's clients
/// look for them.
void make_certificates(const TempDir& dir) {
  const std::string script = R"(
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=an authority for tests' -keyout cakey.pem -out cacert.pem
for name in server client; do
    openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout ${name}key.pem -out $name.csr
    printf 'subjectAltName = IP:127.0.0.1\nextendedKeyUsage = serverAuth, clientAuth\n' > $name.ext
    openssl x509 -req -days 2 -in $name.csr -CA cacert.pem -CAkey cakey.pem -CAcreateserial -extfile $name.ext \
        -out ${name}cert.pem
done)";
  std::filesystem::create_directories(dir / "pki");
  const RunResult made = run({"sh", "-e", "-c", "cd '" + (dir / "pki") + "'" + script});
  if (made.code != 0) {
    throw std::runtime_error{"no certificates: " + made.text};
  }
}

} // namespace

std::string why_no_libvirt() {
  if (::geteuid() != 0) {
    return "a libvirtd of the tests' own takes root";
  }
  for (const char* const program : {"/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/unshare"}) {
    if (!exists(program)) {
      return fmt::format("there is no {}", program);
    }
  }
  return {};
}

LibvirtHost::LibvirtHost(Listen listen) : listen_{listen}, port_{free_port()}, migration_port_{free_port()} {
  for (const auto& [own, real] : kDirectories) {
    std::filesystem::create_directories(dir_ / own);
    std::filesystem::create_directories(real);
  }
  std::filesystem::create_directories(dir_ / "sockets");
  std::filesystem::create_directories(VMEMFS_LIBVIRT_CACHE);
  write_file(dir_ / "etc/qemu.conf", kQemuConf);
  std::string conf = fmt::format("unix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n"
                                 "listen_tls = {}\nauth_tcp = \"none\"\nlog_outputs = \"3:file:{}\"\n"
                                 "listen_addr = \"127.0.0.1\"\n",
                                 dir_ / "sockets", listen == Listen::tls ? 1 : 0, dir_ / "libvirtd.log");
  conf += fmt::format("host_uuid = \"{}\"\n", made_up_uuid()); // domains migrate only to other hosts
  if (listen == Listen::tcp) {
    conf += fmt::format("listen_tcp = 1\ntcp_port = \"{}\"\n", port_);
  } else if (listen == Listen::tls) {
    make_certificates(dir_);
    const std::string pki = dir_ / "pki";
    conf += fmt::format("tls_port = \"{}\"\nauth_tls = \"none\"\nca_file = \"{}/cacert.pem\"\n"
                        "cert_file = \"{}/servercert.pem\"\nkey_file = \"{}/serverkey.pem\"\n",
                        port_, pki, pki, pki);
  }
  write_file(dir_ / "etc/libvirtd.conf", conf);
  start_daemon();
}

LibvirtHost::~LibvirtHost() {
  std::vector<pid_t> domains;
  for (const auto& entry : std::filesystem::directory_iterator{dir_ / "run/qemu"}) {
    if (entry.path().extension() == ".pid") {
      domains.push_back(pid_of(entry.path().stem()));
    }
  }
  continue_daemon();
  daemon_.reset(); // kills it
  for (const pid_t pid : domains) {
    if (pid > 0) {
      ::kill(pid, SIGKILL);
    }
  }
}

void LibvirtHost::start_daemon() {
  std::string script;
  for (const auto& [own, real] : kDirectories) {
    const std::string from = own == std::string_view{"cache"} ? VMEMFS_LIBVIRT_CACHE : dir_ / own;
    script += fmt::format("mount --bind '{}' {} && ", from, real);
  }
  script += fmt::format("exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file '{}'{}", dir_ / "pid",
                        listen_ != Listen::local ? " --listen" : "");
  std::filesystem::remove(dir_ / "sockets/libvirt-sock");
  daemon_ = std::make_unique<ChildProcess>(
      std::vector<std::string>{"unshare", "-m", "--propagation", "private", "sh", "-c", script},
      dir_ / "output");
  const auto answers = [this] { return try_virsh({"version"}).code == 0; };
  const auto ended = [this] { return daemon_->wait({}).has_value(); };
  if (!eventually([&] { return answers() || ended(); }, std::chrono::seconds{60}) || ended()) {
    const std::string log = dir_ / "libvirtd.log";
    throw std::runtime_error{fmt::format("libvirtd does not start; virsh says: {}its output: {}\nits log: {}",
                                         try_virsh({"version"}).text, read_file(dir_ / "output"),
                                         exists(log) ? read_file(log) : "there is none")};
  }
}

void LibvirtHost::kill_daemon() {
  daemon_->signal(SIGKILL);
  daemon_->wait(std::chrono::seconds{10});
}

std::string LibvirtHost::uri() const { return fmt::format("qemu+unix:///system?socket={}", socket()); }

std::string LibvirtHost::socket() const { return dir_ / "sockets/libvirt-sock"; }

std::string LibvirtHost::tcp_uri() const { return fmt::format("qemu+tcp://127.0.0.1:{}/system", port_); }

std::string LibvirtHost::tls_uri() const {
  return fmt::format("qemu+tls://127.0.0.1:{}/system?pkipath={}", port_, dir_ / "pki");
}

RunResult LibvirtHost::try_virsh(const std::vector<std::string>& args) const {
  std::vector<std::string> command{"virsh", "-q", "-c", uri()};
  command.insert(command.end(), args.begin(), args.end());
  return run(command);
}

std::string LibvirtHost::virsh(const std::vector<std::string>& args) const {
  const RunResult result = try_virsh(args);
  if (result.code != 0) {
    throw std::runtime_error{fmt::format("virsh {}: {}", args.front(), result.text)};
  }
  return result.text;
}

std::string LibvirtHost::xml(const DomainOptions& options, std::string files) const {
  files = files.empty() ? options.name : files;
  const std::string kernel = options.kernel ? fmt::format("<kernel>{}</kernel><cmdline>fill={} {}</cmdline>",
                                                          VMEMFS_TINY_GUEST, options.fill, options.arguments)
                                            : "";
  const std::string monitor = options.monitor_for_test
                                  ? fmt::format("<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg "
                                                "value='unix:{},server=on,wait=off'/></qemu:commandline>",
                                                dir_ / (files + ".qmp"))
                                  : "";
  // The largest one may have what an emulated KVM refuses to set.
  const char* const cpu = options.type == "kvm"
                              ? "<cpu mode='custom' check='none'><model>qemu64</model></cpu>"
                              : "<cpu mode='maximum'/>";
  return fmt::format(R"(<domain type='{}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>{}</name>{}<memory unit='MiB'>{}</memory>{}
<os><type arch='x86_64' machine='{}'>hvm</type>{}{}</os>{}<features><acpi/></features>{}
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<memballoon model='none'/><serial type='file'><source path='{}'/></serial>{}</devices>{}</domain>)",
                     options.type, options.name,
                     options.uuid.empty() ? "" : fmt::format("<uuid>{}</uuid>", options.uuid),
                     options.memory_mib, options.vcpus, options.machine, kernel, options.more_os,
                     options.more, cpu, dir_ / (files + ".serial"), options.more_devices, monitor);
}

void LibvirtHost::create(const DomainOptions& options) {
  const std::string file = dir_ / "domain.xml";
  write_file(file, xml(options));
  for (const char* const left : {".serial", ".qmp"}) { // by an earlier one of that name
    std::filesystem::remove(dir_ / (options.name + left));
  }
  virsh({"create", file});
  if (options.kernel &&
      !eventually([&] { return serial(options.name).find("vmemfs-guest ready") != std::string::npos; },
                  kGuestBoot)) {
    throw std::runtime_error{"the guest does not come up: " + serial(options.name)};
  }
}

pid_t LibvirtHost::pid_of(const std::string& domain) const {
  const std::string file = dir_ / ("run/qemu/" + domain + ".pid");
  return exists(file) ? std::stoi("0" + read_file(file)) : 0;
}

std::string LibvirtHost::state_of(const std::string& domain) const {
  const RunResult result = try_virsh({"domstate", domain});
  return result.code == 0 ? result.text.substr(0, result.text.find('\n')) : "";
}

TestMonitor LibvirtHost::monitor(const std::string& domain) const {
  return TestMonitor{dir_ / (domain + ".qmp")};
}

std::string LibvirtHost::serial(const std::string& domain) const {
  const std::string file = dir_ / (domain + ".serial");
  return exists(file) ? read_file(file) : "";
}

} // namespace vmemfs::test
