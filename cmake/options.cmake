# Warnings, sanitizers and include roots of all targets of this project, through vmemfs_options.

# Other compilers than those that the checks run with have other warnings: they are shown, but stop nobody's build.
set(warnings_are_errors OFF)
if(VMEMFS_WERROR AND "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}" MATCHES "^(GNU 12|Clang 16)\\.")
  set(warnings_are_errors ON)
endif()
add_library(vmemfs_options INTERFACE)
target_include_directories(vmemfs_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(vmemfs_options INTERFACE VMEMFS_VERSION="${PROJECT_VERSION}" _FILE_OFFSET_BITS=64)
target_compile_options(vmemfs_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wsuggest-override
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wthread-safety-beta> # the annotations of src/util/thread_annotations.h
  $<$<BOOL:${warnings_are_errors}>:-Werror>)
if(VMEMFS_SANITIZE)
  target_compile_options(vmemfs_options INTERFACE -fsanitize=${VMEMFS_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all
    # g++ 12 reports the sanitizers' own checks inside <regex> and <functional> as uses of unset values.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(vmemfs_options INTERFACE -fsanitize=${VMEMFS_SANITIZE})
endif()
if(VMEMFS_FUZZ)
  target_compile_options(vmemfs_options INTERFACE -fsanitize=fuzzer-no-link) # coverage, which guides the fuzzers
endif()

# The headers that nearly every file includes, parsed once: vmemfs_precompile(TARGET) uses what an owner parsed, which must
# have the same compiler options. The presets for clang and the sanitizers go without, so that a missing include is found.
set(VMEMFS_COMMON_HEADERS <algorithm> <array> <atomic> <chrono> <condition_variable> <cstdint> <functional> <map>
  <memory> <mutex> <optional> <span> <string> <string_view> <thread> <utility> <vector> <fmt/format.h> <tl/expected.hpp>)

# vmemfs_precompile_own(TARGET [HEADER...]): the target parses the common headers, and these, for itself.
function(vmemfs_precompile_own target)
  if(VMEMFS_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE ${VMEMFS_COMMON_HEADERS} ${ARGN})
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>) # as ccache needs it
  endif()
endfunction()

# vmemfs_precompile_owner(NAME OPTIONS... LINK LIBRARIES... HEADERS HEADERS...): a target that only parses for others.
function(vmemfs_precompile_owner name)
  cmake_parse_arguments(ARG "" "" "LINK;HEADERS" ${ARGN})
  if(VMEMFS_PRECOMPILE)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/${name}.cpp CONTENT "// Owns precompiled headers.\n")
    add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/${name}.cpp)
    target_link_libraries(${name} PRIVATE vmemfs_options tl::expected fmt::fmt ${ARG_LINK})
    target_compile_options(${name} PRIVATE ${ARG_UNPARSED_ARGUMENTS})
    vmemfs_precompile_own(${name} ${ARG_HEADERS})
  endif()
endfunction()

function(vmemfs_precompile target owner)
  if(VMEMFS_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${owner})
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  endif()
endfunction()

vmemfs_precompile_owner(vmemfs_common_headers)

# A static library from all sources of one folder (not of its subfolders, unless RECURSE is given), with the common
# headers precompiled unless NO_PRECOMPILE is given. EXCEPT: subfolders that are libraries of their own.
function(vmemfs_library name)
  cmake_parse_arguments(ARG "RECURSE;NO_PRECOMPILE" "" "LINK;EXCEPT" ${ARGN})
  if(ARG_RECURSE)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/main.cpp)
    foreach(folder IN LISTS ARG_EXCEPT)
      list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${folder}/")
    endforeach()
  else()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC vmemfs_options ${ARG_LINK})
  if(NOT ARG_NO_PRECOMPILE)
    vmemfs_precompile(${name} vmemfs_common_headers)
  endif()
endfunction()
