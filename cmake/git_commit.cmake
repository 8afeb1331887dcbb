# Writes TA_GIT_COMMIT ("1a2b3c4d5e6f", "-dirty" behind it when the tree has changes, "unknown" outside git) into OUT.
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=* WORKING_DIRECTORY ${SOURCE}
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define TA_GIT_COMMIT \"${commit}\"\n")
