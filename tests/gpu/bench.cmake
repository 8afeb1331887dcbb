# What run.sh measures, and what tests that.
# ta_gpu_bench(<name> SOURCES a.c ... LIBS ta_x ...): gpu_bench_<name>, which loads the plugin as the program does. ctest only
# has it go through its motions with small sizes on the make-believe device.
add_custom_target(gpu_bench)
function(ta_gpu_bench name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(gpu_bench_${name} bench.c ${T_SOURCES})
  set_target_properties(gpu_bench_${name} PROPERTIES ENABLE_EXPORTS ON)
  target_link_libraries(gpu_bench_${name} PRIVATE ta_gpu ta_kernels ta_base ${T_LIBS} m)
  add_dependencies(gpu_bench gpu_bench_${name})
endfunction()
ta_gpu_bench(copy SOURCES bench_copy.c)
ta_gpu_bench(apply SOURCES bench_apply.c)
ta_gpu_bench(put SOURCES bench_put.c LIBS ta_rdma)
ta_gpu_bench(net SOURCES bench_net.c bench_nets.c LIBS ta_model)
ta_gpu_bench(words SOURCES bench_words.c)
ta_gpu_bench(faults SOURCES bench_faults.c)
ta_test(gpu_bench_nets SOURCES test_bench_nets.c bench_nets.c LIBS ta_model LABELS unit)
