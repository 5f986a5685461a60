# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the programs, one library of everything, and the public headers.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
find_package(ZLIB REQUIRED)

set(objects base core models config probe process http servers store host client plan gateway embed)
list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:berth_\\1>")
add_library(berth_whole STATIC ${objects})
set_target_properties(berth_whole PROPERTIES OUTPUT_NAME berth EXPORT_NAME berth LINKER_LANGUAGE CXX)
target_compile_features(berth_whole PUBLIC cxx_std_20)
target_link_libraries(berth_whole
  PUBLIC tl::expected fmt::fmt Boost::headers Threads::Threads
  PRIVATE Boost::json SQLite::SQLite3 tomlplusplus::tomlplusplus ZLIB::ZLIB ${CMAKE_DL_LIBS})
if(BERTH_SANITIZE)
  target_link_options(berth_whole INTERFACE -fsanitize=address,undefined)
endif()

# berth.h, and what it and the client of the control API are made of.
set(headers berth.h http/async.h http/client.h http/message.h)
foreach(folder base client)
  get_target_property(public berth_${folder} HEADER_SET)
  foreach(header ${public})
    cmake_path(GET header FILENAME name)
    list(APPEND headers ${folder}/${name})
  endforeach()
endforeach()
list(TRANSFORM headers PREPEND ${PROJECT_SOURCE_DIR}/src/berth/)
target_sources(berth_whole PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src FILES ${headers})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/berth)
install(TARGETS berth berth-keeper RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS berth_whole EXPORT berthTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT berthTargets NAMESPACE berth:: DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/berthConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/berthConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/berthConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/berthConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/berthConfigVersion.cmake DESTINATION ${package})
