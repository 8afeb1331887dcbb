# ta_test(<name> SOURCES a.c ... LIBS ta_x ... [LABELS unit] [ARGS ...] [TIMEOUT seconds])
# One cmocka program, run by ctest. Exit status 77 is SKIPPED (the program prints the reason), never a pass.
find_package(PkgConfig REQUIRED)
pkg_check_modules(cmocka QUIET IMPORTED_TARGET cmocka)
if(NOT cmocka_FOUND)
  message(FATAL_ERROR "cmocka is missing: apt-get install libcmocka-dev (or run tests/run.sh, which installs it)")
endif()

# Label `threads`: starts threads of ours, so it is worth the thread sanitizer, which builds and runs nothing else.
macro(ta_leave_out_without_threads)
  if(TA_SANITIZE STREQUAL "thread" AND NOT "threads" IN_LIST T_LABELS)
    return()
  endif()
endmacro()

function(ta_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;LABELS;ARGS;INCLUDES" ${ARGN})
  ta_leave_out_without_threads()
  add_executable(${name} ${T_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${T_INCLUDES})
  target_link_libraries(${name} PRIVATE ${T_LIBS} PkgConfig::cmocka m)
  add_test(NAME ${name} COMMAND ${name} ${T_ARGS})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} SKIP_RETURN_CODE 77 LABELS "${T_LABELS}")
endfunction()

# ta_test_again(<name> <test> ARGS ... [LABELS ...] [TIMEOUT seconds]): the program of another test with other arguments, wherever
# that one is built.
function(ta_test_again name program)
  cmake_parse_arguments(T "" "TIMEOUT" "LABELS;ARGS" ${ARGN})
  if(NOT TARGET ${program})
    return()
  endif()
  add_test(NAME ${name} COMMAND ${program} ${T_ARGS})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} SKIP_RETURN_CODE 77 LABELS "${T_LABELS}")
endfunction()

# ta_script_test(<name> COMMAND ... [LABELS ...] [TIMEOUT ...]): the same for a script; it gets TENSAIR and BUILD_DIR.
function(ta_script_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
  ta_leave_out_without_threads()
  add_test(NAME ${name} COMMAND ${T_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} SKIP_RETURN_CODE 77 LABELS "${T_LABELS}"
    ENVIRONMENT "TENSAIR=$<TARGET_FILE:tensair>;BUILD_DIR=${PROJECT_BINARY_DIR};SOURCE_DIR=${PROJECT_SOURCE_DIR}")
endfunction()
