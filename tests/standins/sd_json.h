// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "sd_engine.h"
#include "sd_jobs.h"
#include "sd_options.h"

namespace berth::standin {

/// What the real program answers with 400: `{"error": "<text>"}`.
struct BadRequest : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Returns the field, or `otherwise` if it is missing. Throws for a value of another type, as the
/// library of the real program does (its clients see 500 `server_error`).
std::string text_field(const boost::json::object& body, std::string_view name,
                       std::string otherwise);
std::int64_t number_field(const boost::json::object& body, std::string_view name,
                          std::int64_t otherwise);

/// Takes what the native API knows (width, sample_params.sample_steps, ...); a field of another
/// type than expected is passed over, as there.
void take_native_fields(const boost::json::object& body, PictureRequest& request);
/// Cuts `<sd_cpp_extra_args>{...}</sd_cpp_extra_args>` out of the prompt and takes its fields.
void take_extra_args(PictureRequest& request);
/// Brings everything into the server's limits: 1 to 8 pictures, 1 to 100 steps, a random seed for
/// one below 0, 512 pixels for a side that is not given.
void settle(PictureRequest& request);
/// Throws BadRequest for another output format than png, the only one the stand-in draws.
void check_output_format(const boost::json::object& body);

boost::json::object capabilities(const Options& options);
boost::json::array sampler_names();
boost::json::array scheduler_names();
boost::json::object job_json(const Job& job);
std::string_view status_name(JobStatus status);

}  // namespace berth::standin
