# script/record: what Redis has recorded of a send, for an operator to read.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::File qw(path);

my $api    = sandbox;
my $redis  = redis_server;
my $script = path(__FILE__)->dirname->sibling('script', 'record');

nginx(http => 'chatmaid_redis ' . $redis->url . ' timeout=30s prefix=shop:; chatmaid_retries 0;',
    gateway => 'chatmaid_sender +15550100001; chatmaid_account spring; chatmaid_idempotency_scope warehouse;');

sub run (@options) {
    local $ENV{REDIS_CLI} = 'redis-cli -s ' . $redis->socket;
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', $script, @options or die "sh: $!";
    my $said = do { local $/; <$out> // '' };
    close $out;
    return ($said, $? >> 8);
}

sub shown ($text) { map { /^(\S+) +(.*)$/ } split /\n/, $text }
sub of_sends (@keys) { run(qw(-p shop: -a test:spring -s warehouse), @keys) }

my $TIME = qr/\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;

my %send = map { $_ => {to => '+15550100099', text => "a  $_ \\ text"} } qw(done ambiguous);
is(post('/send', $send{done}, 'Idempotency-Key' => 'order-1')->{status}, 201, 'a send');
$api->fault(no_answer('before'));
is(post('/send', $send{ambiguous}, 'Idempotency-Key' => 'order-2')->{status}, 502, 'an ambiguous one');

my ($said, $status) = of_sends('order-1');
my %done = shown($said);
is($status, 0, 'a record is shown');
is_deeply([@done{qw(name version state status)}], [record_of('order-1', 'test:spring', 'warehouse') =~ s/^chatmaid/shop/r, 2, 'done', 201], 'of a send that is done');
like($done{begun}, $TIME, 'when it began');
like($done{fingerprint}, qr/\A[0-9a-f]{64}\z/, 'its fingerprint');
like($done{expires}, qr/\Ain 8\d{4} s\z/, 'for how long it is kept');
is(Mojo::JSON::decode_json($done{answer})->{data}{content}, $send{done}{text}, 'its answer, byte for byte');

($said, $status) = of_sends('order-2');
my %ambiguous = shown($said);
is_deeply([$status, @ambiguous{qw(state maybe answer)}], [0, 'ambiguous', 1, undef], 'an ambiguous one');
like($ambiguous{owner}, qr/\A[0-9a-f]{32}\z/, 'its owner');
like($ambiguous{lease}, $TIME, 'its lease');

is_deeply({shown((run('-n', $ambiguous{name}))[0]), expires => ''}, {%ambiguous, expires => ''}, 'by its name');
is_deeply([run(qw(-p shop: -l ambiguous))], ["$ambiguous{name}\n", 0], 'the ambiguous ones');
is_deeply([run(qw(-p shop: -l done))], ["$done{name}\n", 0], 'those that are done');
is_deeply([run(qw(-p shop: -l in_flight))], ['', 0], 'none is in flight');
is_deeply([of_sends('order-3')], ["order-3: no record\n", 1], 'there is none');
is((of_sends('order-3', 'order-1'))[1], 1, 'nor of one of several');
like((run())[0], qr/\Ausage: /, 'what it takes');
is((run())[1], 2, 'is told to whoever does not know');

subtest 'of version 1' => sub {
    my %record = %{$redis->record($ambiguous{name})};
    $redis->cli('DEL', $ambiguous{name});
    $redis->cli('HSET', $ambiguous{name}, %record, version => 1);
    my %old = shown((of_sends('order-2'))[0]);
    is_deeply({%old, version => 2, expires => ''}, {%ambiguous, expires => ''}, 'is shown as well');
    is_deeply([run(qw(-p shop: -l ambiguous))], ["$ambiguous{name}\n", 0], 'and listed');
};

done;
