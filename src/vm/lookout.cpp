#include "vm/lookout.h"

#include "util/log.h"
#include "vm/vm_name.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <ranges>
#include <set>

namespace vmemfs {
namespace {

/// So many monitors may keep us waiting before attaching stands still.
constexpr unsigned kAttachers = 4;

} // namespace

Lookout::Lookout(std::vector<Source> sources, std::vector<VmSpec> wanted, Attacher& attacher, Tell tell,
                 Pace pace)
    : attacher_{attacher}, tell_{std::move(tell)}, pace_{pace}, sources_{std::move(sources)},
      attachers_{kAttachers}, looker_{1} {
  for (VmSpec& spec : wanted) {
    Refusal refusal{spec.name, spec.driver, {}, {}};
    wanted_.push_back({.spec = std::move(spec), .refusal = std::move(refusal)});
  }
}

Lookout::~Lookout() { stop(); }

void Lookout::begin(Clock::duration limit) {
  for (const Source& source : sources_) {
    source.discovery->begin(Clock::now() + limit / 2);
  }
  first_look_jobs_ = Afterwards{nullptr, [this](void*) {
                                  const std::scoped_lock lock{mutex_};
                                  first_look_done_ = true;
                                  first_look_.notify_all();
                                }};
  looker_.post([this] { look(); });
  std::unique_lock lock{mutex_};
  first_look_.wait_for(lock, limit, [this] { return first_look_done_; });
}

void Lookout::stop() {
  looker_.stop();
  attachers_.stop();
}

void Lookout::look() {
  const auto now = Clock::now();
  bool something_new = false;
  for (std::size_t source = 0; source < sources_.size(); ++source) {
    something_new = take_in(source, now) || something_new;
  }
  check_wanted(now, something_new);
  try_due(now);
  looker_.post_after(pace_.look, [this] { look(); });
}

/// Brings the list up to date; true where a VM is there that was not.
bool Lookout::take_in(std::size_t source, Clock::time_point now) {
  auto vms = sources_[source].discovery->look();
  note_look(source, vms);
  if (!vms) {
    return false;
  }
  const std::scoped_lock lock{mutex_};
  bool something_new = false;
  std::set<Key> here;
  for (FoundVm& vm : *vms) {
    const Key key{source, vm.key};
    here.insert(key);
    if (!found_.contains(key)) {
      Refusal refusal{vm.name, sources_[source].driver, vm.number, {}};
      found_.emplace(
          key,
          Found{.vm = std::move(vm), .since = now, .order = next_order_++, .refusal = std::move(refusal)});
      something_new = true;
    }
  }
  std::erase_if(
      found_, [&](const auto& entry) { return entry.first.first == source && !here.contains(entry.first); });
  return something_new;
}

void Lookout::note_look(std::size_t source, const Result<std::vector<FoundVm>>& seen) {
  std::optional<LookError> news;
  {
    const std::scoped_lock lock{mutex_};
    if (seen) {
      if (look_errors_.erase(source) != 0) {
        log::info("{}: VMs can be looked for again", sources_[source].driver);
      }
    } else {
      LookError error{sources_[source].driver, seen.error().text};
      LookError& last = look_errors_[source];
      if (last != error) {
        last = std::move(error);
        news = last;
      }
    }
  }
  if (news) {
    tell_.look_error(*news);
  }
}

void Lookout::check_wanted(Clock::time_point now, bool something_new) {
  const std::scoped_lock lock{mutex_};
  for (Wanted& wanted : wanted_) {
    if (wanted.vm != nullptr && wanted.vm->gone()) {
      wanted.settled = wanted.vm->detached();
      wanted.vm.reset();
      something_new = true;
    }
    if (something_new) { // it may be what came
      wanted.patience = {now, {}};
    }
  }
}

/// What is wanted is tried before what was found: a VM that is both has the wanted name.
void Lookout::try_due(Clock::time_point now) {
  std::vector<Key> due_found;
  std::vector<std::size_t> due_wanted;
  {
    const std::scoped_lock lock{mutex_};
    for (auto& [key, found] : found_) {
      if (found.trying || found.settled || found.patience.next > now) {
        continue;
      }
      const Others others = others_with(key, found, now);
      found.settled = others == Others::have_it;
      if (others == Others::none) {
        found.trying = true;
        due_found.push_back(key);
      }
    }
    std::ranges::sort(due_found, {}, [&](const Key& key) { return found_.at(key).order; });
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      Wanted& wanted = wanted_[i];
      if (!wanted.trying && !wanted.settled && wanted.vm == nullptr && wanted.patience.next <= now) {
        wanted.trying = true;
        due_wanted.push_back(i);
      }
    }
  }
  // The next look comes while this one's jobs may still run, and has done nothing to be waited for.
  const Afterwards all_done = std::exchange(first_look_jobs_, nullptr);
  const Afterwards then_found{nullptr, [this, due_found = std::move(due_found), all_done](void*) {
                                for (const Key& key : due_found) {
                                  attachers_.post([this, key, all_done] { try_found(key); });
                                }
                              }};
  for (const std::size_t index : due_wanted) {
    attachers_.post([this, index, then_found] { try_wanted(index); });
  }
}

/// With mutex_ held.
Lookout::Others Lookout::others_with(const Key& key, const Found& found, Clock::time_point now) const {
  bool may_come = false;
  for (std::size_t better = 0; better < key.first; ++better) {
    const auto other = found_.find({better, found.vm.key});
    if (other == found_.end()) {
      may_come =
          may_come || (sources_[better].driver == found.vm.manager && now - found.since < pace_.for_better);
      continue;
    }
    if (other->second.settled) {
      return Others::have_it;
    }
    may_come = may_come || now - other->second.since < pace_.for_better;
  }
  return may_come ? Others::may_take_it : Others::none;
}

/// With mutex_ held. The same VM, found by another driver, is no namesake.
NameClaim Lookout::claim_of(const Found& found) const {
  const auto base = [](const FoundVm& vm) { return vm_base_name(vm.name, vm.uuid, vm.number); };
  const bool older = std::ranges::any_of(found_, [&](const auto& entry) {
    const Found& other = entry.second;
    return other.order < found.order && other.vm.key != found.vm.key && base(other.vm) == base(found.vm);
  });
  return older ? NameClaim::with_number : NameClaim::bare;
}

/// With mutex_ held.
Lookout::ByWorse Lookout::by_worse(const Key& key) const {
  for (std::size_t worse = key.first + 1; worse < sources_.size(); ++worse) {
    const auto other = found_.find({worse, key.second});
    if (other != found_.end() && other->second.attached) {
      auto vm = other->second.attached->lock();
      const bool gone = vm == nullptr || vm->gone();
      return {gone ? nullptr : std::move(vm), gone};
    }
  }
  return {};
}

void Lookout::try_found(const Key& key) {
  FoundVm vm;
  NameClaim claim{};
  ByWorse worse;
  {
    const std::scoped_lock lock{mutex_};
    const auto found = found_.find(key);
    if (found == found_.end()) {
      return;
    }
    vm = found->second.vm;
    claim = claim_of(found->second);
    worse = by_worse(key);
    if (worse.detached) {
      found->second.trying = false;
      found->second.settled = true;
      return;
    }
    if (worse.vm != nullptr && worse.vm->in_use()) {
      found->second.trying = false;
      found->second.refusal.reason = fmt::format(
          "the driver {} has it, until no file of its memory is open and it is not paused by vmemfs",
          worse.vm->driver().identity().driver);
      return;
    }
  }
  auto attached = attacher_.attach_found(sources_[key.first].driver, vm, claim, worse.vm.get());
  std::optional<Refusal> news;
  {
    const std::scoped_lock lock{mutex_};
    const auto found = found_.find(key);
    if (found == found_.end()) {
      return; // it left meanwhile
    }
    found->second.trying = false;
    found->second.settled = attached.has_value();
    if (attached && attached->new_here) {
      found->second.attached = attached->vm;
    }
    if (!attached) {
      news = note_failure(found->second, attached.error(), found->second.since, pace_.longest_wait);
    }
  }
  if (news) {
    tell_.refusal(*news);
  }
}

void Lookout::try_wanted(std::size_t index) {
  VmSpec spec;
  {
    const std::scoped_lock lock{mutex_};
    spec = wanted_[index].spec;
  }
  auto attached = attacher_.attach(spec);
  std::optional<Refusal> news;
  {
    const std::scoped_lock lock{mutex_};
    Wanted& wanted = wanted_[index];
    wanted.trying = false;
    if (attached) {
      wanted.vm = std::move(*attached);
      wanted.told.clear();
    } else {
      news = note_failure(wanted, attached.error(), {}, pace_.longest_wait_wanted);
    }
  }
  if (news) {
    tell_.refusal(*news);
  }
}

/// With mutex_ held. What there is to be told, if anything.
template <typename Entry> std::optional<Refusal> Lookout::note_failure(Entry& entry, const Error& error,
                                                                       Clock::time_point since,
                                                                       Clock::duration longest_wait) {
  const auto now = Clock::now();
  const Clock::duration age = now - since;
  Patience& patience = entry.patience;
  patience.wait = age < pace_.young
                      ? Clock::duration{}
                      : std::clamp<Clock::duration>(patience.wait * 2, pace_.look * 2, longest_wait);
  patience.next = now + patience.wait;
  entry.refusal.reason = error.message();
  const bool worth_telling = age >= pace_.quiet || error.kind == ErrorKind::permission;
  if (!worth_telling || entry.told == entry.refusal.reason) {
    return std::nullopt;
  }
  entry.told = entry.refusal.reason;
  return entry.refusal;
}

std::vector<Refusal> Lookout::refused() const {
  std::vector<Refusal> refusals;
  const std::scoped_lock lock{mutex_};
  for (const Wanted& wanted : wanted_) {
    if (!wanted.settled && wanted.vm == nullptr) {
      refusals.push_back(wanted.refusal);
    }
  }
  for (const auto& [key, found] : found_) {
    if (!found.settled && (found.trying || !found.refusal.reason.empty())) {
      refusals.push_back(found.refusal);
    }
  }
  return refusals;
}

std::size_t Lookout::undecided() const {
  const std::scoped_lock lock{mutex_};
  return static_cast<std::size_t>(std::ranges::count_if(found_, [](const auto& entry) {
    return !entry.second.settled && entry.second.refusal.reason.empty();
  }));
}

std::vector<LookError> Lookout::look_errors() const {
  const std::scoped_lock lock{mutex_};
  const auto errors = look_errors_ | std::views::values;
  return {errors.begin(), errors.end()};
}

std::vector<Sighting> Lookout::sightings() const {
  const std::scoped_lock lock{mutex_};
  std::vector<std::pair<std::uint64_t, Sighting>> in_order;
  in_order.reserve(found_.size());
  for (const auto& [key, found] : found_) {
    in_order.push_back(
        {found.order, {sources_[key.first].driver, found.vm, found.settled ? "" : found.refusal.reason}});
  }
  std::ranges::sort(in_order, {}, &std::pair<std::uint64_t, Sighting>::first);
  std::vector<Sighting> sightings;
  std::ranges::move(in_order | std::views::values, std::back_inserter(sightings));
  return sightings;
}

} // namespace vmemfs
