# What is optional, found by itself, and told by `tensair version`. A make that is not built in answers with a typed error
# that names the package; nothing below is needed to build or test the program.
function(ta_optional name header library module)
  set(version "")
  if(module)
    pkg_search_module(opt_${name} QUIET ${module})
    set(version "${opt_${name}_VERSION}")
  endif()
  find_path(TA_${name}_INCLUDE ${header} HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(TA_${name}_LIBRARY ${library} HINTS ${CUDAToolkit_LIBRARY_DIR})
  mark_as_advanced(TA_${name}_INCLUDE TA_${name}_LIBRARY)
  if(TA_${name}_INCLUDE AND TA_${name}_LIBRARY AND NOT version)
    set(version "found")
  elseif(NOT TA_${name}_INCLUDE OR NOT TA_${name}_LIBRARY)
    set(version "")
  endif()
  set(TA_VERSION_${name} "${version}" PARENT_SCOPE)
endfunction()

find_package(CUDAToolkit QUIET)
set(TA_VERSION_CUDA "${CUDAToolkit_VERSION}")
ta_optional(CUDNN cudnn.h cudnn "")
ta_optional(NCCL nccl.h nccl "")
ta_optional(IBVERBS infiniband/verbs.h ibverbs libibverbs)
ta_optional(FABRIC rdma/fabric.h fabric libfabric)
ta_optional(MUNGE munge.h munge munge)
ta_optional(SLURM slurm/slurm.h slurm "slurm")

set(TA_VERSION_HDF5 "${hdf5_VERSION}")
set(TA_VERSION_HWLOC "${hwloc_VERSION}")
set(TA_VERSION_CYAML "${cyaml_VERSION}")
set(TA_VERSION_JANSSON "${jansson_VERSION}")
set(TA_VERSION_XXHASH "${xxhash_VERSION}")
set(TA_VERSION_SODIUM "${sodium_VERSION}")
file(STRINGS "${DNNL_INCLUDE}/oneapi/dnnl/dnnl_version.h" dnnl_lines REGEX "#define DNNL_VERSION_(MAJOR|MINOR|PATCH)")
string(REGEX REPLACE "[^0-9;]" "" dnnl_numbers "${dnnl_lines}")
string(REPLACE ";" "." TA_VERSION_ONEDNN "${dnnl_numbers}")

configure_file(${PROJECT_SOURCE_DIR}/cmake/build_options.h.in ${PROJECT_BINARY_DIR}/generated/build_options.h @ONLY)

# The commit is asked for at every build, and the header touched only when it changed.
add_custom_target(ta_git_commit
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DOUT=${PROJECT_BINARY_DIR}/generated/git_commit.h
          -P ${PROJECT_SOURCE_DIR}/cmake/git_commit.cmake
  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/git_commit.h COMMENT "")
add_library(ta_build_options INTERFACE)
target_include_directories(ta_build_options INTERFACE ${PROJECT_BINARY_DIR}/generated)
add_dependencies(ta_build_options ta_git_commit)
