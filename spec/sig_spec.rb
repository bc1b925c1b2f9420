# frozen_string_literal: true

require "rbs"
require "yard"

RSpec.describe "The types in sig/" do
  directory = File.join(RubyProcess::ROOT, "sig")

  loader = RBS::EnvironmentLoader.new
  loader.add(path: Pathname(directory))
  environment = RBS::Environment.from_loader(loader).resolve_type_names
  builder = RBS::DefinitionBuilder.new(env: environment)
  types = environment.class_decls.keys.select { |type| type.to_s.start_with?("::TaskerTelemetry") }

  # Type to the names of the methods that sig/ gives it itself, leaving out what it inherits.
  declared = lambda do |&definition|
    types.to_h do |type|
      own = definition[type].methods.select { |_, method| method.defined_in == type }
      [type.to_s.delete_prefix("::"), own.keys - %i[initialize new]]
    end
  end
  instance = declared.call { |type| builder.build_instance(type) }
  singleton = declared.call { |type| builder.build_singleton(type) }

  it "are valid" do
    outcome = run_ruby("RBS::CLI.new(stdout: $stdout, stderr: $stderr).run(ARGV)", "-I", directory, "validate",
                       options: %w[-rrbs -rrbs/cli])
    expect(outcome).to be_success, outcome.to_s
  end

  types.each do |type|
    name = type.to_s.delete_prefix("::")

    it "give #{name} no method that it lacks" do
      constant = Object.const_get(name)
      expect(instance[name].reject { |method| constant.public_method_defined?(method) }).to be_empty
      expect(singleton[name].reject { |method| constant.respond_to?(method) }).to be_empty
    end
  end

  describe "beside the documentation" do
    before(:context) do
      YARD::Logger.instance.level = YARD::Logger::ERROR
      YARD::Registry.clear
      YARD.parse("#{RubyProcess::ROOT}/lib/**/*.rb")
    end

    it "know every documented method of the classes that they describe" do
      documented = YARD::Registry.all(:method).select do |method|
        method.visibility == :public && instance.key?(method.namespace.path) && method.name != :initialize &&
          [method, method.namespace].none? { |object| object.tag(:api)&.text == "private" }
      end
      unknown = documented.reject do |method|
        (method.scope == :instance ? instance : singleton)[method.namespace.path].include?(method.name)
      end
      expect(documented).not_to be_empty
      expect(unknown.map(&:path)).to be_empty
    end

    it "know none that is not documented" do
      paths = instance.flat_map { |name, methods| methods.map { |method| "#{name}##{method}" } } +
              singleton.flat_map { |name, methods| methods.map { |method| "#{name}.#{method}" } }
      # Ruby's own Singleton defines it.
      paths.delete("TaskerTelemetry::MetricsBackend.instance")
      expect(paths.reject { |path| YARD::Registry.at(path) }).to be_empty
    end
  end
end
