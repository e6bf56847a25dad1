# What the shared clock of a pace can't have said is not believed: the gateway
# keeps the pace by itself.

use Chatmaid::Test;
use Chatmaid::Test::Redis;

my $api = sandbox;
my ($said, @read);
my $fake = redis_fake(sub ($fake, $stream, @words) {
    push @read, [$fake->reads, "@words"];
    return $stream->write("-ERR nothing but paces here\r\n") if $words[3] !~ /pace:/;
    $stream->write(join '', '*' . @$said . "\r\n", map { ":$_\r\n" } @$said);
});
my $nginx = nginx(
    http   => 'chatmaid_sender +15550100001; chatmaid_redis ' . $fake->url . ' timeout=5s;',
    server => join "\n", map { "location ^~ /a$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account a$_; chatmaid_rate 10r/s burst=5; }" } 0 .. 9);

my $case = 0;
for my $odd ([0, 1, '9' x 15, 1], [0, 0, '9' x 15, 1], [0, 1, -1, 1], [0, 2, 0, 1], [1001, 0, 0, 1], [-1, 0, 0, 1], [0, 1, 0], [0, 1, 0, 1, 1], [])
{
    $said = $odd;
    is(told(get(url("/a$case/phones"))), 200, 'a read, the clock says (' . join(', ', @$odd) . ')') for 1, 2;
    $case++;
}
ok(scalar($nginx->logged(qr/chatmaid redis can't keep the pace, it answers what no script of ours returns/)), 'the log says so');

$said = [1, 0, 0, 1];
is(told(get(url('/a9/phones'))), 200, 'what it can have said is taken');
wait_for(sub { get(url('/a9/phones')); $nginx->logged(qr/chatmaid redis keeps the pace again/) }, 'the line when it is over');

# What one write brings is read at once.
@read = ();
$said = [1, 0, 0, 1];
is(told(post(url('/a9/send'), message)), 201, 'a send');
my %at = map { my ($in, $command) = @$_; map { $_ => $in } $command =~ /:(op|pace):/ } reverse @read;
cmp_ok($at{op}, '==', $at{pace}, 'asks for its record and its place by one write');

done;
