# Drivers of the build: each is one folder drivers/NAME and one entry of vmemfs_drivers() in drivers/CMakeLists.txt.
set(VMEMFS_EXTRA_DRIVERS "" CACHE STRING
  "Folders of drivers outside of this tree, each called ANYWHERE/drivers/NAME; see docs/writing-a-driver.md")

# vmemfs_driver(NAME SUMMARY TEXT [PACKAGES MODULE...] [PROGRAMS PROGRAM...] [DEBIAN PACKAGE...] [NO_PRECOMPILE]
#   [LINK TARGET...])
#
# Called by the driver's own CMakeLists.txt: makes the library vmemfs_driver_NAME from the sources of the folder and of its
# subfolders. NAME_type.h has to declare `const DriverType& NAME_driver_type()`.
#
#   SUMMARY    what it reaches, for `vmemfs check` if it was not compiled in
#   PACKAGES   pkg-config modules. A driver that has some is optional: VMEMFS_NAME is AUTO (if they are there), ON or OFF.
#   PROGRAMS   what building it runs, besides the PACKAGES; PROGRAM is found as VMEMFS_NAME_PROGRAM
#   DEBIAN     the Debian packages that they come with
#   LINK       libraries besides vmemfs_driver and the PACKAGES
#
# Sets VMEMFS_WITH_NAME for all folders that come later, and as a definition for the contract suite.
function(vmemfs_driver name)
  cmake_parse_arguments(ARG "NO_PRECOMPILE" "SUMMARY" "PACKAGES;PROGRAMS;DEBIAN;LINK" ${ARGN})
  if(NOT ARG_SUMMARY OR (ARG_PACKAGES AND NOT ARG_DEBIAN))
    message(FATAL_ERROR "drivers/${name}: vmemfs_driver() needs SUMMARY, and DEBIAN if it has PACKAGES")
  endif()
  string(TOUPPER ${name} upper)
  list(JOIN ARG_DEBIAN " " debian)
  set(found ON)
  if(ARG_PACKAGES)
    set(VMEMFS_${upper} AUTO CACHE STRING "The ${name} driver: AUTO (if its libraries are there), ON or OFF")
    set(found OFF)
    if(NOT VMEMFS_${upper} STREQUAL "OFF")
      pkg_check_modules(${upper} IMPORTED_TARGET GLOBAL ${ARG_PACKAGES})
      set(found ${${upper}_FOUND})
      foreach(program IN LISTS ARG_PROGRAMS)
        string(TOUPPER "VMEMFS_${upper}_${program}" variable)
        string(MAKE_C_IDENTIFIER ${variable} variable)
        find_program(${variable} ${program} PATHS /usr/sbin)
        if(NOT ${variable})
          set(found OFF)
        endif()
      endforeach()
      if(VMEMFS_${upper} STREQUAL "ON")
        vmemfs_require(found "${debian}")
      endif()
    endif()
  endif()
  if(NOT found)
    set(VMEMFS_WITH_${upper} OFF CACHE INTERNAL "")
    set_property(GLOBAL APPEND PROPERTY VMEMFS_ABSENT_DRIVERS "{\"${name}\", \"${ARG_SUMMARY}\", \"${debian}\"}")
    return()
  endif()
  set(VMEMFS_WITH_${upper} ON CACHE INTERNAL "")
  set_property(GLOBAL APPEND PROPERTY VMEMFS_DRIVERS ${name})
  set_property(GLOBAL APPEND PROPERTY VMEMFS_DRIVER_DEFINITIONS VMEMFS_WITH_${upper})
  set(options RECURSE)
  if(ARG_NO_PRECOMPILE)
    list(APPEND options NO_PRECOMPILE)
  endif()
  vmemfs_library(vmemfs_driver_${name} ${options} LINK vmemfs_driver ${ARG_LINK})
  if(ARG_PACKAGES)
    target_link_libraries(vmemfs_driver_${name} PUBLIC PkgConfig::${upper})
  endif()
endfunction()

# A folder outside of this tree is added as if its parent's parent were this one: it may have tests/contract/ as well.
function(vmemfs_extra_driver folder)
  cmake_path(GET folder FILENAME name)
  cmake_path(GET folder PARENT_PATH drivers)
  cmake_path(GET drivers PARENT_PATH root)
  if(NOT IS_ABSOLUTE ${folder} OR NOT folder MATCHES "/drivers/[a-z0-9_]+$")
    message(FATAL_ERROR "VMEMFS_EXTRA_DRIVERS: ${folder} is not an absolute path that ends in drivers/NAME")
  endif()
  add_subdirectory(${folder} ${PROJECT_BINARY_DIR}/extra_drivers/${name})
  if(TARGET vmemfs_driver_${name})
    target_include_directories(vmemfs_driver_${name} PUBLIC ${root})
    file(GLOB tests CONFIGURE_DEPENDS ${root}/tests/contract/${name}_subject*.cpp)
    set_property(GLOBAL APPEND PROPERTY VMEMFS_EXTRA_SUBJECTS ${tests})
  endif()
endfunction()

# vmemfs_drivers(NAME...): adds these folders and those of VMEMFS_EXTRA_DRIVERS, and makes vmemfs_all_drivers from them,
# with a table in this order.
function(vmemfs_drivers)
  foreach(name IN LISTS ARGN)
    add_subdirectory(${name})
  endforeach()
  foreach(folder IN LISTS VMEMFS_EXTRA_DRIVERS)
    vmemfs_extra_driver(${folder})
  endforeach()
  get_property(names GLOBAL PROPERTY VMEMFS_DRIVERS)
  get_property(absent GLOBAL PROPERTY VMEMFS_ABSENT_DRIVERS)
  list(LENGTH names count)
  list(JOIN absent ",\n          " absent)
  foreach(name IN LISTS names)
    string(APPEND includes "#include \"drivers/${name}/${name}_type.h\"\n")
    list(APPEND entries "&${name}_driver_type()")
    list(APPEND libraries vmemfs_driver_${name})
  endforeach()
  list(JOIN entries ",\n      " entries)
  configure_file(driver_table.cpp.in ${PROJECT_BINARY_DIR}/drivers/driver_table.cpp @ONLY)
  vmemfs_library(vmemfs_all_drivers LINK vmemfs_driver ${libraries})
  target_sources(vmemfs_all_drivers PRIVATE ${PROJECT_BINARY_DIR}/drivers/driver_table.cpp)
endfunction()
