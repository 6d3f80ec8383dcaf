# Warnings, sanitizers and include roots that every target of ours gets, through vmemfs_options.
add_library(vmemfs_options INTERFACE)
target_include_directories(vmemfs_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(vmemfs_options INTERFACE VMEMFS_VERSION="${PROJECT_VERSION}")
target_compile_options(vmemfs_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wsuggest-override
  $<$<BOOL:${VMEMFS_WERROR}>:-Werror>)
if(VMEMFS_SANITIZE)
  target_compile_options(vmemfs_options INTERFACE -fsanitize=${VMEMFS_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all
    # g++ 12 takes the sanitizers' own checks inside <regex> and <functional> for uses of unset values.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(vmemfs_options INTERFACE -fsanitize=${VMEMFS_SANITIZE})
endif()

# A static library from all sources of one folder (not of its subfolders, unless RECURSE is given).
function(vmemfs_library name)
  cmake_parse_arguments(ARG "RECURSE" "" "LINK" ${ARGN})
  if(ARG_RECURSE)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/main.cpp)
  else()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC vmemfs_options ${ARG_LINK})
endfunction()
