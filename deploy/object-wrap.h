// Included before the sources of better-sqlite3 12 (deploy/setup.mjs). From Node 24.19 on, the header of node::ObjectWrap
// registers a clean-up hook for each object and removes it when the object is collected. Node 24.19 to 24.21 abort if that
// collection starts outside of JavaScript. better-sqlite3 closes its databases in a hook of its own, so none is lost here.
#pragma once
#include <node.h>
namespace node {
template <typename... Arguments>
inline void NoCleanupHook(Arguments...) {}
}  // namespace node
#define AddEnvironmentCleanupHook NoCleanupHook
#define RemoveEnvironmentCleanupHook NoCleanupHook
#include <node_object_wrap.h>
#undef AddEnvironmentCleanupHook
#undef RemoveEnvironmentCleanupHook
