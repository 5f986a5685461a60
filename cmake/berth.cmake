# SPDX-License-Identifier: Apache-2.0
# One call per folder: berth_library() makes the static library of a folder, berth_test() its unit tests.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(BERTH_CCACHE ccache)
if(BERTH_CCACHE)
  # A precompiled header changes its time stamp, not its meaning; without this ccache never hits.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${BERTH_CCACHE})
endif()
find_program(BERTH_MOLD mold)
if(BERTH_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wswitch-enum
  -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports uses in coroutine frames that are not there.
  add_compile_options(-Wno-maybe-uninitialized -Wno-dangling-pointer -Wno-mismatched-new-delete -fpch-preprocess)
endif()
if(BERTH_WERROR)
  add_compile_options(-Werror)
endif()
if(BERTH_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(BERTH_PLANTED_BUGS)
  add_compile_definitions(BERTH_PLANTED_BUGS=1)
endif()
if(BERTH_FAILPOINTS)
  add_compile_definitions(BERTH_FAILPOINTS=1)
endif()
# Asio: no deprecated names, std::coroutine only.
add_compile_definitions(BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE)

# berth_library(core SOURCES a.cc HEADERS a.h DEPENDS berth::base [ASIO])
# ASIO: the folder's translation units share the one precompiled header of Asio and Beast.
function(berth_library name)
  cmake_parse_arguments(ARG "ASIO" "" "SOURCES;HEADERS;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(berth_${name} STATIC ${ARG_SOURCES})
  add_library(berth::${name} ALIAS berth_${name})
  target_sources(berth_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src FILES ${ARG_HEADERS})
  target_link_libraries(berth_${name} PUBLIC ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE_DEPENDS})
  if(ARG_ASIO)
    target_link_libraries(berth_${name} PUBLIC berth_pch_asio)
    target_precompile_headers(berth_${name} REUSE_FROM berth_pch_asio)
  endif()
endfunction()

# berth_test(core_test SOURCES a_test.cc DEPENDS berth::core [ASIO]): unit tests, label `unit`.
function(berth_test name)
  if(BERTH_ONLY_SIM)
    return()
  endif()
  cmake_parse_arguments(ARG "ASIO" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gmock GTest::gtest GTest::gtest_main)
  target_compile_options(${name} PRIVATE -Wno-shadow)
  if(ARG_ASIO)
    target_link_libraries(${name} PRIVATE berth_pch_asio)
    target_precompile_headers(${name} REUSE_FROM berth_pch_asio)
  endif()
  add_test(NAME unit.${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()
