"""Settings of the property tests: a machine under load is no failure, and CI repeats itself."""

import hypothesis

hypothesis.settings.register_profile("quiet", deadline=None, print_blob=True)
if not hypothesis.settings.get_current_profile_name().startswith("ci"):
    hypothesis.settings.load_profile("quiet")
