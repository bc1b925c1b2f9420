# frozen_string_literal: true

RSpec.describe "The instrumentation of Active Storage" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  let(:env) { { "LIBRARIES" => "active_record/railtie active_storage/engine" } }

  script = <<~'RUBY'
    Dir["#{ActiveStorage::Engine.root}/db/migrate/*create_active_storage_tables*.rb"].each { |file| require file }
    ActiveRecord::Migration.suppress_messages { CreateActiveStorageTables.migrate(:up) }
    blob = ActiveStorage::Blob.create_and_upload!(io: StringIO.new("x" * 1000), filename: "secret.txt")
    blob.download
    2.times { blob.service.download_chunk(blob.key, 0...300) }
    blob.service.exist?(blob.key)
    blob.open { |file| file.read }
    blob.service.delete_prefixed("variants/")
    blob.service.delete(blob.key)
    begin
      blob.download
    rescue ActiveStorage::FileNotFoundError
      nil
    end
    $key = blob.key
  RUBY

  it "counts operations by service, and the bytes of chunks" do
    totals = counted(@application, "#{script}\nputs $key", env: env)
    expect(totals["active_storage_operations_total"]).to include(
      "Disk upload completed" => 1, "Disk download completed" => 1, "Disk download failed" => 1,
      "Disk exist completed" => 1, "Disk streaming_download completed" => 1, "Disk delete completed" => 1,
      "Disk delete_prefixed completed" => 1
    )
    expect(totals["active_storage_operation_duration_seconds"]).to eq(totals["active_storage_operations_total"])
    expect(totals["active_storage_bytes_total"]).to include("Disk download_chunk" => be >= 600)
    expect(totals.values.flat_map(&:keys).join).not_to include("secret")
  end

  it "is silent when it is switched off" do
    totals = counted(@application, script, env: env.merge("SWITCHED_OFF" => "active_storage"))
    expect(totals.keys.grep(/storage/)).to be_empty
  end
end
