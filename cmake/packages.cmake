# What the program is built from. Required packages stop the configuration with the name to install; optional ones are
# found by themselves, and what was found is printed here and by `tensair version`.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# ta_require(<target> <what> <debian package> <pkg-config modules, the first that is there>)
function(ta_require target what debian)
  pkg_search_module(${target} QUIET IMPORTED_TARGET ${ARGN})
  if(NOT ${target}_FOUND)
    message(FATAL_ERROR "${what} is missing: apt-get install ${debian} (or run tests/run.sh, which installs it)")
  endif()
  add_library(ta_pkg_${target} INTERFACE)
  target_link_libraries(ta_pkg_${target} INTERFACE PkgConfig::${target})
endfunction()

ta_require(hdf5 "HDF5" libhdf5-dev hdf5-serial hdf5)
ta_require(hwloc "hwloc" libhwloc-dev hwloc)
ta_require(cyaml "libcyaml" libcyaml-dev libcyaml)
ta_require(yaml "libyaml" libyaml-dev yaml-0.1)
ta_require(jansson "jansson" libjansson-dev jansson)
ta_require(xxhash "xxHash" libxxhash-dev libxxhash)
ta_require(jpeg "libjpeg" libjpeg-dev libjpeg)
ta_require(png "libpng" libpng-dev libpng)
ta_require(zlib "zlib" zlib1g-dev zlib)

# Debian's CMake package of oneDNN asks for OpenCL, which nothing here uses: look for the library itself.
find_library(DNNL_LIBRARY dnnl)
find_path(DNNL_INCLUDE oneapi/dnnl/dnnl.h)
if(NOT DNNL_LIBRARY OR NOT DNNL_INCLUDE)
  message(FATAL_ERROR "oneDNN is missing: apt-get install libdnnl-dev (or run tests/run.sh, which installs it)")
endif()
add_library(ta_pkg_dnnl INTERFACE)
target_include_directories(ta_pkg_dnnl INTERFACE ${DNNL_INCLUDE})
target_link_libraries(ta_pkg_dnnl INTERFACE ${DNNL_LIBRARY})

find_path(RANDOM123_INCLUDE Random123/philox.h)
if(NOT RANDOM123_INCLUDE)
  message(FATAL_ERROR "Random123 is missing: apt-get install librandom123-dev (or run tests/run.sh, which installs it)")
endif()
